//! Errors of loading an artifact, of starting a plugin and of calling it.

use std::path::PathBuf;

use dynvm_abi::version::AbiVersion;

use crate::id::{CallId, ContextId};

/// Formats an error with its causes: `plugin.so: cannot be read: No such file or directory`.
///
/// The `Display` of this crate's errors leaves out their [`source`](std::error::Error::source), so
/// that no text appears twice here.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// A cause whose concrete type belongs to an engine.
pub(crate) type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Error of loading an artifact. No code of the artifact has run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read.
    #[error("{path}: cannot be read", path = path.display())]
    Io {
        /// The path of the file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The bytes are neither ELF nor WebAssembly.
    #[error("{name}: {what}")]
    NotAPlugin {
        /// The artifact's path or name.
        name: String,
        /// The detected content, and the remedy.
        what: String,
    },
    /// The backend for this kind of artifact is not compiled in.
    #[error("{name}: {kind} plugins need the feature `{feature}` of dynvm, which this build does not have")]
    BackendMissing {
        /// The artifact's path or name.
        name: String,
        /// The artifact's kind.
        kind: crate::ArtifactKind,
        /// The cargo feature that enables the backend.
        feature: &'static str,
    },
    /// A native artifact was passed to a loader that does not allow native code.
    #[error(
        "{name}: native code is not allowed by this loader; it runs with all rights of the process, so it has to be allowed \
         explicitly (LoaderOptions::allow_native), or load the .wasm of the same plugin"
    )]
    NativeNotAllowed {
        /// The artifact's path or name.
        name: String,
    },
    /// The artifact does not meet the loader's trust policy.
    #[error("{name}: refused by the trust policy: {}", joined(failures, "; "))]
    Untrusted {
        /// The artifact's path or name.
        name: String,
        /// Every violated rule, each with the fact and the remedy.
        failures: Vec<crate::trust::Violation>,
    },
    /// The artifact is damaged, or of a form that cannot be loaded here.
    #[error("{name}: {what}")]
    Malformed {
        /// The artifact's path or name.
        name: String,
        /// The defect, and the remedy.
        what: String,
    },
    /// The artifact exports none of the functions that mark an ABI version.
    #[error(
        "{name}: not a Proxy-Wasm plugin: it exports none of proxy_abi_version_0_1_0, proxy_abi_version_0_2_0 and \
         proxy_abi_version_0_2_1; build it with a Proxy-Wasm SDK, or export the marker of the version that it was written for"
    )]
    NoAbiVersion {
        /// The artifact's path or name.
        name: String,
    },
    /// The artifact imports functions that the host does not have.
    #[error("{name}: imports what no Proxy-Wasm {version} host has: {}", list(functions))]
    UnknownImports {
        /// The artifact's path or name.
        name: String,
        /// The ABI version that the artifact declares.
        version: AbiVersion,
        /// The functions, each with a remark.
        functions: Vec<String>,
    },
    /// A function of the ABI is imported or exported with a different type.
    #[error("{name}: function `{function}` has the signature {found}, but Proxy-Wasm {version} has {expected}")]
    WrongSignature {
        /// The artifact's path or name.
        name: String,
        /// The function's name.
        function: String,
        /// The type in the artifact.
        found: String,
        /// The type in the ABI.
        expected: String,
        /// The ABI version that the artifact declares.
        version: AbiVersion,
    },
    /// Neither the native image nor the wasm module of a fat plugin loads.
    #[error("{name}: neither part of this fat plugin loads (native: {native})")]
    NoPartLoads {
        /// The artifact's path or name.
        name: String,
        /// The reason against the native image.
        native: String,
        /// The error of the wasm module.
        #[source]
        wasm: Box<LoadError>,
    },
    /// The wasm engine rejected the module.
    #[error("{name}: wasmtime cannot compile it")]
    Compile {
        /// The artifact's path or name.
        name: String,
        /// The engine's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The wasm engine does not run on this machine, or not with these options.
    #[error("wasmtime cannot run with these options")]
    Engine {
        /// The error of the engine or of the system.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No linked plugin of this name is registered.
    #[error(
        "no linked plugin `{name}`; linked: {}; the program registers those that it is linked with (dynvm::linked::register)",
        if linked.is_empty() { "none".to_owned() } else { list(linked) }
    )]
    NotLinked {
        /// The name.
        name: String,
        /// The names of the registered plugins.
        linked: Vec<String>,
    },
    /// Two linked plugins have one name.
    #[error("two linked plugins are named `{name}`: link one of them under another name (dynvm_link::Plugin::name)")]
    LinkedTwice {
        /// The name.
        name: String,
    },
    /// The directory for compiled code is not safe to use.
    #[error("{dir}: cannot be a cache of compiled code: {what}", dir = dir.display())]
    CodeCache {
        /// The path of the directory.
        dir: PathBuf,
        /// The fact, and the remedy.
        what: String,
        /// The system's error, if the system refused an operation.
        source: Option<std::io::Error>,
    },
}

fn list(items: &[String]) -> String {
    joined(items, ", ")
}

fn joined<T: ToString>(items: &[T], separator: &str) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(separator)
}

/// Error of starting a VM, or a plugin in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The system's loader rejected the image.
    #[error("{module}: cannot be loaded: {message}")]
    Image {
        /// The module's name.
        module: String,
        /// The failed step, and the remedy.
        message: String,
    },
    /// The module could not be instantiated.
    #[error("{module}: cannot be instantiated")]
    Instantiate {
        /// The module's name.
        module: String,
        /// The engine's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The plugin failed while it started.
    #[error("{module}: failed in `{function}`")]
    Failed {
        /// The module's name.
        module: String,
        /// The callback or start function that failed.
        function: &'static str,
        /// The failure of the VM.
        #[source]
        failure: Failure,
    },
    /// The plugin refused its configuration: it returned false.
    #[error("{plugin}: the plugin returned false from `{function}`: it refuses its configuration; its log says why")]
    Refused {
        /// The plugin's configured name.
        plugin: String,
        /// The callback that returned false.
        function: &'static str,
    },
    /// The VM failed before.
    #[error("the VM has failed before and cannot start plugins")]
    VmFailed(#[source] Failure),
}

/// Error of a call that could not be made, or that failed the VM.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The VM failed, now or before. It serves no more calls; start another one.
    #[error("the VM has failed")]
    Vm(#[source] Failure),
    /// This VM has no such context: it has ended, or it belongs to another VM.
    #[error("there is no context {0} in this VM")]
    UnknownContext(ContextId),
    /// This VM has no such call in progress: it was answered or cancelled, or it belongs to another
    /// VM.
    #[error("no call with token {0} is under way in this VM")]
    UnknownCall(CallId),
}

/// The failure of a VM. A failed VM runs no more code of the plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind of failure, for metrics and policies.
    pub kind: FailureKind,
    /// Human-readable description, with a backtrace where one is available.
    pub message: String,
}

/// Kinds of failures of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// wasm: a trap, which ends Rust panics too. Native: a processor fault at an address in the
    /// image.
    Trap,
    /// The plugin ended itself: `abort`, `proc_exit`, or a Rust panic in a native plugin.
    Exit,
    /// The plugin exceeded its limit of memory or time.
    Limit,
    /// The plugin called a function that is not allowed in its current phase.
    Restricted,
    /// The host failed inside a hostcall: a panic in the embedder's code, for example, which does not
    /// unwind further.
    Host,
}

impl FailureKind {
    /// All kinds, in the order of declaration.
    pub const ALL: [FailureKind; 5] =
        [FailureKind::Trap, FailureKind::Exit, FailureKind::Limit, FailureKind::Restricted, FailureKind::Host];

    /// The name used in metrics and logs: `trap`, `exit`, `limit`, `restricted` or `host`.
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
