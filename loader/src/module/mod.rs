//! Modules: artifacts that were taken apart, held against the trust policy, and compiled by a backend.

pub(crate) mod fat;
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

/// Turns artifacts into modules. `Clone` shares it; one is enough for a process.
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
    /// wasmtime cannot run on this machine.
    pub fn new() -> Result<Loader, LoadError> {
        Loader::with_options(LoaderOptions::default())
    }

    /// A loader with options.
    ///
    /// # Errors
    ///
    /// wasmtime cannot run with these options on this machine.
    pub fn with_options(options: LoaderOptions) -> Result<Loader, LoadError> {
        let backends = options.backends()?;
        Ok(Loader { backends: backends.into(), trust: options.trust.map(Arc::new), prefer: options.prefer })
    }

    /// Loads a file: an ELF shared object, a wasm module, or its text form, told by its content, not by its name.
    ///
    /// Of a fat plugin ([`bundle`](crate::bundle)) the native image for this machine is taken if native plugins are allowed, else the
    /// wasm module; [`ModuleInfo::chosen`] says which, and why.
    ///
    /// Nothing of the artifact runs: that begins with [`Vm::builder`](crate::Vm::builder). The file is read once, here. What a trust policy says
    /// is said of the bytes that are loaded; a signature is looked for beside the file, as `FILE.minisig`, and in a fat plugin.
    ///
    /// # Errors
    ///
    /// See [`LoadError`]; each names the file, what is wrong and what to do.
    pub fn load_file(&self, path: impl AsRef<Path>) -> Result<Module, LoadError> {
        self.load_artifact(&self.read_file(path)?)
    }

    /// Reads a file, with what the trust policy of this loader asks about it.
    ///
    /// # Errors
    ///
    /// As [`Artifact::read`].
    pub fn read_file(&self, path: impl AsRef<Path>) -> Result<Artifact, LoadError> {
        self.trust.as_ref().map_or_else(|| Artifact::read(&path), |policy| policy.read_file(path.as_ref(), None))
    }

    /// Loads an artifact that [`read_file`](Loader::read_file) has read. The file is not looked at again.
    ///
    /// # Errors
    ///
    /// As [`load_file`](Loader::load_file). A policy with rules about files or signatures refuses an artifact that a loader without
    /// these rules has read.
    pub fn load_artifact(&self, artifact: &Artifact) -> Result<Module, LoadError> {
        self.check_artifact(artifact)?;
        self.load_trusted(&artifact.name, &artifact.bytes, artifact.file.as_ref())
    }

    /// Loads an artifact from memory. The name is for messages. A trust policy that has rules about files refuses it; so does one that
    /// wants a signature.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn load_bytes(&self, name: &str, bytes: &[u8]) -> Result<Module, LoadError> {
        self.check(name, bytes, None)?;
        self.load_trusted(name, bytes, None)
    }

    /// Loads what has been checked, or need not be.
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

    /// The backend for a kind of artifact.
    fn backend(&self, name: &str, kind: ArtifactKind) -> Result<&dyn Backend, LoadError> {
        let backend = self.backends.iter().find(|backend| backend.kind() == kind.backend());
        backend.map(AsRef::as_ref).ok_or_else(|| options::no_backend(name, kind))
    }
}

/// An artifact, checked and compiled. `Clone` shares it, also between threads.
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

    /// The file, or the name it was loaded by.
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// What is known of it.
    pub fn info(&self) -> &ModuleInfo {
        &self.info
    }

    /// What runs it.
    pub fn backend(&self) -> BackendKind {
        self.info.backend()
    }

    /// Whether it exports a callback.
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
