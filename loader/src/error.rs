//! Errors, by what failed: loading an artifact, starting a plugin, calling it.

use std::path::PathBuf;

use dynvm_abi::version::AbiVersion;

use crate::id::{CallId, ContextId};

/// An error with its causes, as people read it: `plugin.so: cannot be read: No such file or directory`.
///
/// The errors of this crate say only what they add to their [`source`](std::error::Error::source).
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// The cause of an error whose type is the engine's.
pub(crate) type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Why an artifact was not loaded. Nothing of it has run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read.
    #[error("{path}: cannot be read", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bytes are not a plugin of any kind.
    #[error("{name}: {what}")]
    NotAPlugin {
        /// The artifact.
        name: String,
        /// What it is instead, and what to do.
        what: String,
    },
    /// The artifact is of a kind whose backend is not compiled in.
    #[error("{name}: {kind} plugins need the feature `{feature}` of dynvm, which this build does not have")]
    BackendMissing {
        /// The artifact.
        name: String,
        /// Its kind.
        kind: crate::ArtifactKind,
        /// The cargo feature.
        feature: &'static str,
    },
    /// A native artifact is offered to a loader that does not allow native code.
    #[error(
        "{name}: native code is not allowed by this loader; it runs with all rights of the process, so it has to be allowed \
         explicitly (LoaderOptions::allow_native), or load the .wasm of the same plugin"
    )]
    NativeNotAllowed {
        /// The artifact.
        name: String,
    },
    /// It does not meet the loader's trust policy.
    #[error("{name}: refused by the trust policy: {}", joined(failures, "; "))]
    Untrusted {
        /// The artifact.
        name: String,
        /// Each rule that refuses it: what is the case, and what would satisfy the rule.
        failures: Vec<crate::trust::Violation>,
    },
    /// The binary is damaged or not of a form that can be loaded here.
    #[error("{name}: {what}")]
    Malformed {
        /// The artifact.
        name: String,
        /// What is wrong, and what to do.
        what: String,
    },
    /// No function marks the ABI version.
    #[error(
        "{name}: not a Proxy-Wasm plugin: it exports none of proxy_abi_version_0_1_0, proxy_abi_version_0_2_0 and \
         proxy_abi_version_0_2_1; build it with a Proxy-Wasm SDK, or export the marker of the version that it was written for"
    )]
    NoAbiVersion {
        /// The artifact.
        name: String,
    },
    /// It imports functions that the host does not have.
    #[error("{name}: imports what no Proxy-Wasm {version} host has: {}", list(functions))]
    UnknownImports {
        /// The artifact.
        name: String,
        /// Its ABI version.
        version: AbiVersion,
        /// The functions, each with a remark.
        functions: Vec<String>,
    },
    /// A function of the ABI is imported or exported with other types than the ABI's.
    #[error("{name}: function `{function}` has the signature {found}, but Proxy-Wasm {version} has {expected}")]
    WrongSignature {
        /// The artifact.
        name: String,
        /// The function.
        function: String,
        /// Its types.
        found: String,
        /// The ABI's types.
        expected: String,
        /// The plugin's ABI version.
        version: AbiVersion,
    },
    /// Neither the native image nor the wasm module of a fat plugin loads.
    #[error("{name}: neither part of this fat plugin loads (native: {native})")]
    NoPartLoads {
        /// The artifact.
        name: String,
        /// Why no native image is used.
        native: String,
        /// Why the wasm module is not.
        #[source]
        wasm: Box<LoadError>,
    },
    /// The wasm engine refused it.
    #[error("{name}: wasmtime cannot compile it")]
    Compile {
        /// The artifact.
        name: String,
        /// What the engine said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The wasm engine cannot run on this machine, or not with these options.
    #[error("wasmtime cannot run with these options")]
    Engine {
        /// What the engine or the system said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The directory for compiled code is not one that may be used.
    #[error("{dir}: cannot be a cache of compiled code: {what}", dir = dir.display())]
    CodeCache {
        /// The directory.
        dir: PathBuf,
        /// What is the case, and what to do.
        what: String,
        /// What the system said, if it did.
        source: Option<std::io::Error>,
    },
}

fn list(items: &[String]) -> String {
    joined(items, ", ")
}

fn joined<T: ToString>(items: &[T], separator: &str) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(separator)
}

/// Why a VM or a plugin in it did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The system's loader refused the image.
    #[error("{module}: cannot be loaded: {message}")]
    Image {
        /// The module.
        module: String,
        /// What failed, and what to do.
        message: String,
    },
    /// The module could not be instantiated.
    #[error("{module}: cannot be instantiated")]
    Instantiate {
        /// The module.
        module: String,
        /// What the engine said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The plugin failed while it started.
    #[error("{module}: failed in `{function}`")]
    Failed {
        /// The module.
        module: String,
        /// The callback.
        function: &'static str,
        /// What happened.
        #[source]
        failure: Failure,
    },
    /// The plugin refused its configuration: it returned false.
    #[error("{plugin}: the plugin returned false from `{function}`: it refuses its configuration; its log says why")]
    Refused {
        /// The plugin's name.
        plugin: String,
        /// The callback.
        function: &'static str,
    },
    /// The VM has failed before.
    #[error("the VM has failed before and cannot start plugins")]
    VmFailed(#[source] Failure),
}

/// A call that could not be made, or that failed the VM.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The VM failed, now or before. It serves no more calls: start another one.
    #[error("the VM has failed")]
    Vm(#[source] Failure),
    /// There is no such context in this VM: it has ended, or it belongs to another VM.
    #[error("there is no context {0} in this VM")]
    UnknownContext(ContextId),
    /// No such call is under way in this VM: it has been answered or cancelled, or it is another VM's.
    #[error("no call with token {0} is under way in this VM")]
    UnknownCall(CallId),
}

/// How a VM failed. A failed VM runs no more code of the plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// What happened, with a backtrace where there is one.
    pub message: String,
}

/// Kinds of failure of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// wasm: a trap (Rust panics end in one). Native: a fault of the processor with its address in the image.
    Trap,
    /// The plugin ended itself: `abort`, `proc_exit`, a Rust panic in a native plugin.
    Exit,
    /// It used more memory or time than allowed.
    Limit,
    /// It called a function that is not allowed in this phase.
    Restricted,
    /// The host itself failed in a hostcall.
    Host,
}

impl FailureKind {
    /// All kinds.
    pub const ALL: [FailureKind; 5] =
        [FailureKind::Trap, FailureKind::Exit, FailureKind::Limit, FailureKind::Restricted, FailureKind::Host];

    /// Its name in metrics and logs: `trap`, `exit`, `limit`, `restricted` or `host`.
    pub const fn name(self) -> &'static str {
        match self {
            FailureKind::Trap => "trap",
            FailureKind::Exit => "exit",
            FailureKind::Limit => "limit",
            FailureKind::Restricted => "restricted",
            FailureKind::Host => "host",
        }
    }
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Box<Failure> {
        Box::new(Failure { kind, message: message.into() })
    }
}
