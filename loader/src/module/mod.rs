//! Artifacts: what they are, whether they can be loaded, and the backends that run them.

pub(crate) mod fat;
#[cfg(feature = "native")]
pub(crate) mod native;
mod trusted;
#[cfg(feature = "wasm")]
pub(crate) mod wasm;

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use dynvm_abi::table::CallbackId;
use dynvm_abi::version::AbiVersion;

use crate::artifact::{ArtifactKind, BackendKind, BackendPreference, ModuleInfo};
use crate::error::{LoadError, StartError};
use crate::instance::{Backend, InstanceState};
use crate::telemetry;
use crate::trust::{FileFacts, TrustPolicy};

/// How artifacts are loaded and run.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LoaderOptions {
    /// How native plugins run. `None`, the default: not at all. Native code has all rights of the process that loads it.
    #[cfg(feature = "native")]
    pub native: Option<native::NativeOptions>,
    /// How wasm plugins run.
    #[cfg(feature = "wasm")]
    pub wasm: wasm::WasmOptions,
    /// What may be loaded. `None`, the default: whatever the backends take. With a policy, native code needs `native` above and the
    /// policy's leave, which by default it does not have.
    pub trust: Option<TrustPolicy>,
    /// Which part of a fat plugin runs.
    pub prefer: BackendPreference,
}

impl LoaderOptions {
    /// Allows native plugins, with the default options.
    #[cfg(feature = "native")]
    pub fn allow_native(mut self) -> LoaderOptions {
        self.native = Some(native::NativeOptions::default());
        self
    }
}

/// Turns artifacts into modules. `Clone` shares it; one is enough for a process.
#[derive(Clone)]
pub struct Loader {
    #[cfg(feature = "native")]
    native: Option<native::NativeOptions>,
    #[cfg(feature = "wasm")]
    wasm: Arc<wasm::WasmEngine>,
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
        Ok(Loader {
            #[cfg(feature = "native")]
            native: options.native,
            #[cfg(feature = "wasm")]
            wasm: Arc::new(wasm::WasmEngine::new(options.wasm)?),
            trust: options.trust.map(Arc::new),
            prefer: options.prefer,
        })
    }

    /// Loads a file: an ELF shared object, a wasm module, or its text form, told by its content, not by its name.
    ///
    /// Of a fat plugin ([`bundle`](crate::bundle)) the native image for this machine is taken if native plugins are allowed, else the
    /// wasm module; [`ModuleInfo::chosen`] says which, and why.
    ///
    /// Nothing of the artifact runs: that begins with [`Vm::new`](crate::Vm::new). The file is read once, here. What a trust policy says
    /// is said of the bytes that are loaded; a signature is looked for beside the file, as `FILE.minisig`, and in a fat plugin.
    ///
    /// # Errors
    ///
    /// See [`LoadError`]; each names the file, what is wrong and what to do.
    pub fn load_file(&self, path: impl AsRef<Path>) -> Result<Module, LoadError> {
        let path = path.as_ref();
        if let Some(policy) = &self.trust {
            return self.load_artifact(policy, &policy.read_file(path, None)?);
        }
        let bytes = std::fs::read(path).map_err(|source| LoadError::Io { path: path.to_owned(), source })?;
        self.load_trusted(&path.display().to_string(), &bytes, None)
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
        telemetry::loaded(name, &loaded);
        loaded
    }

    fn load(&self, name: &str, bytes: &[u8], file: Option<&FileFacts>) -> Result<Module, LoadError> {
        let kind = ArtifactKind::of(bytes).map_err(|what| LoadError::NotAPlugin { name: name.to_owned(), what })?;
        if kind == ArtifactKind::Wasm
            && let Some(bundle) = fat::read(name, bytes)?
        {
            return fat::load(self, name, &bundle, bytes, file);
        }
        let (code, abi_version) = self.load_code(name, kind, bytes)?;
        Ok(Module::new(ModuleInfo::new(name, kind, bytes, abi_version), code))
    }

    /// Loads one artifact that is not made of several.
    fn load_code(&self, name: &str, kind: ArtifactKind, bytes: &[u8]) -> Result<(Code, AbiVersion), LoadError> {
        match kind {
            #[cfg(feature = "native")]
            ArtifactKind::Native => {
                let Some(options) = &self.native else {
                    return Err(LoadError::NativeNotAllowed { name: name.to_owned() });
                };
                let module = native::NativeModule::new(name, bytes, options.clone())?;
                let abi_version = module.abi_version();
                Ok((Code::Native(module), abi_version))
            }
            #[cfg(feature = "wasm")]
            ArtifactKind::Wasm | ArtifactKind::WasmText => {
                let module = wasm::WasmModule::new(name, bytes, self.wasm.clone())?;
                let abi_version = module.abi_version();
                Ok((Code::Wasm(module), abi_version))
            }
            #[allow(unreachable_patterns, reason = "reached when a backend is not compiled in")]
            kind => Err(LoadError::BackendMissing {
                name: name.to_owned(),
                kind,
                feature: if kind == ArtifactKind::Native { "native" } else { "wasm" },
            }),
        }
    }
}

/// An artifact, checked and compiled. `Clone` shares it, also between threads.
#[derive(Clone)]
pub struct Module {
    inner: Arc<Inner>,
}

struct Inner {
    info: ModuleInfo,
    code: Code,
}

enum Code {
    #[cfg(feature = "native")]
    Native(native::NativeModule),
    #[cfg(feature = "wasm")]
    Wasm(wasm::WasmModule),
}

impl Module {
    fn new(info: ModuleInfo, code: Code) -> Module {
        Module { inner: Arc::new(Inner { info, code }) }
    }

    /// The file, or the name it was loaded by.
    pub fn name(&self) -> &str {
        &self.inner.info.name
    }

    /// What is known of it.
    pub fn info(&self) -> &ModuleInfo {
        &self.inner.info
    }

    /// What runs it.
    pub fn backend(&self) -> BackendKind {
        match &self.inner.code {
            #[cfg(feature = "native")]
            Code::Native(_) => BackendKind::Native,
            #[cfg(feature = "wasm")]
            Code::Wasm(_) => BackendKind::Wasm,
        }
    }

    /// Whether it exports a callback.
    pub fn exports(&self, callback: CallbackId) -> bool {
        match &self.inner.code {
            #[cfg(feature = "native")]
            Code::Native(module) => module.exports(callback),
            #[cfg(feature = "wasm")]
            Code::Wasm(module) => module.exports(callback),
        }
    }

    #[cfg(feature = "native")]
    pub(crate) fn native(&self) -> Option<&native::NativeModule> {
        match &self.inner.code {
            Code::Native(module) => Some(module),
            #[cfg(feature = "wasm")]
            Code::Wasm(_) => None,
        }
    }

    pub(crate) fn instantiate(&self, state: &Rc<InstanceState>) -> Result<Box<dyn Backend>, StartError> {
        match &self.inner.code {
            #[cfg(feature = "native")]
            Code::Native(module) => Ok(Box::new(module.instantiate(state)?)),
            #[cfg(feature = "wasm")]
            Code::Wasm(module) => Ok(Box::new(module.instantiate(state)?)),
        }
    }
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.info.fmt(f)
    }
}
