//! Modules: artifacts that passed the trust policy and were compiled by a backend.

pub(crate) mod fat;
#[cfg(feature = "null")]
mod linked;
mod options;
mod trusted;

use std::path::Path;
use std::sync::Arc;

use dynvm_abi::table::CallbackId;

pub use options::LoaderOptions;

use crate::artifact::{ArtifactKind, BackendKind, BackendPreference, Choice, ModuleInfo};
use crate::backend::{Backend, Code};
use crate::error::LoadError;
use crate::telemetry;
use crate::trust::{Artifact, FileFacts, TrustPolicy};

/// Loads artifacts as modules. Clones share one engine and one configuration; a process needs one
/// loader.
///
/// ```
/// # #[cfg(feature = "wasm")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use dynvm::{BackendKind, LoadError, Loader};
///
/// let loader = Loader::new()?;
/// let module = loader.load_bytes("noop.wat", br#"(module (func (export "proxy_abi_version_0_2_1")))"#)?;
/// assert_eq!(module.backend(), BackendKind::Wasm);
///
/// let error = loader.load_file("no-such-plugin.wasm").err();
/// assert!(matches!(error, Some(LoadError::Io { .. })));
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "wasm"))]
/// # fn main() {}
/// ```
#[derive(Clone)]
pub struct Loader {
    backends: Arc<[Box<dyn Backend>]>,
    trust: Option<Arc<TrustPolicy>>,
    prefer: BackendPreference,
}

impl Loader {
    /// A loader with the default options: wasm plugins only.
    ///
    /// # Errors
    ///
    /// [`LoadError::Engine`]: wasmtime does not run on this machine.
    pub fn new() -> Result<Loader, LoadError> {
        Loader::with_options(LoaderOptions::default())
    }

    /// A loader with these options.
    ///
    /// # Errors
    ///
    /// [`LoadError::Engine`]: wasmtime does not run on this machine, or not with these options.
    /// [`LoadError::CodeCache`]: the directory for compiled code is not safe to use.
    pub fn with_options(options: LoaderOptions) -> Result<Loader, LoadError> {
        let backends = options.backends()?;
        Ok(Loader { backends: backends.into(), trust: options.trust.map(Arc::new), prefer: options.prefer })
    }

    /// Loads a file: an ELF shared object, a wasm module, or its text form, detected by content and
    /// not by name.
    ///
    /// For a fat plugin ([`bundle`](crate::bundle)), loads the native image for this machine if
    /// native plugins are allowed, otherwise the wasm module; [`ModuleInfo::chosen`] has the choice
    /// and its reason.
    ///
    /// No code of the artifact runs before [`Vm::builder`](crate::Vm::builder). The file is read once,
    /// here, and a trust policy judges the bytes that are loaded. A signature is taken from the
    /// file `FILE.minisig` beside it, or from a fat plugin itself.
    ///
    /// # Errors
    ///
    /// See [`LoadError`]; each error names the file, the fact and the remedy.
    pub fn load_file(&self, path: impl AsRef<Path>) -> Result<Module, LoadError> {
        self.load_artifact(&self.read_file(path)?)
    }

    /// Reads a file, with the facts and the signature that this loader's trust policy needs.
    ///
    /// # Errors
    ///
    /// As [`Artifact::read`].
    pub fn read_file(&self, path: impl AsRef<Path>) -> Result<Artifact, LoadError> {
        self.trust.as_ref().map_or_else(|| Artifact::read(&path), |policy| policy.read_file(path.as_ref(), None))
    }

    /// Loads an artifact that [`read_file`](Loader::read_file) has read. The file is not opened
    /// again.
    ///
    /// # Errors
    ///
    /// As [`load_file`](Loader::load_file). A policy with rules about files or signatures refuses
    /// an artifact that was read by a loader without such rules.
    pub fn load_artifact(&self, artifact: &Artifact) -> Result<Module, LoadError> {
        self.check_artifact(artifact)?;
        self.load_trusted(&artifact.name, &artifact.bytes, artifact.file.as_ref())
    }

    /// Loads an artifact from memory. The name is used in messages. A trust policy with rules about
    /// files or signatures refuses the artifact.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn load_bytes(&self, name: &str, bytes: &[u8]) -> Result<Module, LoadError> {
        self.check(name, bytes, None)?;
        self.load_trusted(name, bytes, None)
    }

    /// Loads an artifact that has passed the policy, or whose loader has none.
    fn load_trusted(&self, name: &str, bytes: &[u8], file: Option<&FileFacts>) -> Result<Module, LoadError> {
        let _loading = telemetry::loading(name);
        let loaded = self.load(name, bytes, file);
        telemetry::loaded(name, loaded.as_ref().map(Module::info));
        loaded
    }

    fn load(&self, name: &str, bytes: &[u8], file: Option<&FileFacts>) -> Result<Module, LoadError> {
        let kind = ArtifactKind::of(bytes).map_err(|what| LoadError::NotAPlugin { name: name.to_owned(), what })?;
        if kind == ArtifactKind::Wasm
            && let Some(bundle) = fat::read(name, bytes)?
        {
            return fat::load(self, name, &bundle, bytes, file);
        }
        Ok(Module::new(name, kind, bytes, self.backend(name, kind)?.compile(name, bytes)?, None))
    }

    /// The backend for this kind of artifact, if it is compiled in and allowed.
    fn backend(&self, name: &str, kind: ArtifactKind) -> Result<&dyn Backend, LoadError> {
        let backend = self.backends.iter().find(|backend| backend.kind() == kind.backend());
        backend.map(AsRef::as_ref).ok_or_else(|| options::no_backend(name, kind))
    }
}

/// A checked and compiled artifact. Clones share it, also across threads.
///
/// ```
/// # #[cfg(feature = "wasm")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use dynvm::Loader;
/// use dynvm::abi::table::CallbackId;
///
/// let text = br#"(module (func (export "proxy_abi_version_0_2_1")) (func (export "proxy_on_tick") (param i32)))"#;
/// let module = Loader::new()?.load_bytes("tick.wat", text)?;
/// assert_eq!(module.name(), "tick.wat");
/// assert!(module.exports(CallbackId::proxy_on_tick));
/// assert!(!module.exports(CallbackId::proxy_on_log));
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "wasm"))]
/// # fn main() {}
/// ```
#[derive(Clone)]
pub struct Module {
    info: Arc<ModuleInfo>,
    code: Arc<dyn Code>,
}

impl Module {
    fn new(name: &str, kind: ArtifactKind, artifact: &[u8], code: Arc<dyn Code>, chosen: Option<Choice>) -> Module {
        let info = ModuleInfo { chosen, ..ModuleInfo::new(name, kind, artifact, code.abi_version()) };
        Module { info: Arc::new(info), code }
    }

    /// The path of the file, or the name passed to [`Loader::load_bytes`].
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// Description of the artifact: kind, size, digest, ABI version.
    pub fn info(&self) -> &ModuleInfo {
        &self.info
    }

    /// The backend that runs the module.
    pub fn backend(&self) -> BackendKind {
        self.info.backend()
    }

    /// True if the module exports this callback.
    pub fn exports(&self, callback: CallbackId) -> bool {
        self.code().exports(callback)
    }

    pub(crate) fn shared_info(&self) -> &Arc<ModuleInfo> {
        &self.info
    }

    pub(crate) fn code(&self) -> &dyn Code {
        self.code.as_ref()
    }
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.info.fmt(f)
    }
}
