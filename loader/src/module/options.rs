//! How artifacts are loaded and run: the one place of this folder that knows which backends are compiled in.

use crate::artifact::{ArtifactKind, BackendPreference};
use crate::backend::Backend;
#[cfg(feature = "native")]
use crate::backend::native::{self, NativeBackend};
#[cfg(feature = "wasm")]
use crate::backend::wasm::{self, WasmBackend};
use crate::error::LoadError;
use crate::trust::TrustPolicy;

/// How artifacts are loaded and run.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LoaderOptions {
    /// How native plugins run. `None`, the default: not at all. Native code has all rights of the process that loads it.
    #[cfg(feature = "native")]
    pub native: Option<native::Options>,
    /// How wasm plugins run.
    #[cfg(feature = "wasm")]
    pub wasm: wasm::Options,
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
        self.native = Some(native::Options::default());
        self
    }

    /// Allows native plugins, with these options.
    #[cfg(feature = "native")]
    pub fn native(mut self, options: native::Options) -> LoaderOptions {
        self.native = Some(options);
        self
    }

    /// Sets how wasm plugins run.
    #[cfg(feature = "wasm")]
    pub fn wasm(mut self, options: wasm::Options) -> LoaderOptions {
        self.wasm = options;
        self
    }

    /// Sets the policy that every artifact has to meet.
    pub fn trust(mut self, policy: TrustPolicy) -> LoaderOptions {
        self.trust = Some(policy);
        self
    }

    /// Sets which part of a fat plugin runs.
    pub fn prefer(mut self, prefer: BackendPreference) -> LoaderOptions {
        self.prefer = prefer;
        self
    }

    /// The backends that are compiled in and allowed.
    pub(super) fn backends(&self) -> Result<Vec<Box<dyn Backend>>, LoadError> {
        let mut backends: Vec<Box<dyn Backend>> = Vec::new();
        #[cfg(feature = "native")]
        if let Some(options) = &self.native {
            backends.push(Box::new(NativeBackend::new(options.clone())));
        }
        #[cfg(feature = "wasm")]
        backends.push(Box::new(WasmBackend::new(self.wasm.clone())?));
        Ok(backends)
    }
}

/// Why no backend of a loader accepts a kind of artifact.
pub(super) fn no_backend(name: &str, kind: ArtifactKind) -> LoadError {
    let name = name.to_owned();
    match kind {
        ArtifactKind::Native if cfg!(feature = "native") => LoadError::NativeNotAllowed { name },
        ArtifactKind::Native => LoadError::BackendMissing { name, kind, feature: "native" },
        ArtifactKind::Wasm | ArtifactKind::WasmText => LoadError::BackendMissing { name, kind, feature: "wasm" },
    }
}
