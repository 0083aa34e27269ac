//! Options of a loader. Only this file of the folder depends on which backends are compiled in.

use crate::artifact::{ArtifactKind, BackendPreference};
use crate::backend::Backend;
#[cfg(feature = "native")]
use crate::backend::native::{self, NativeBackend};
#[cfg(feature = "wasm")]
use crate::backend::wasm::{self, WasmBackend};
use crate::error::LoadError;
use crate::trust::{Extent, TrustPolicy};

/// Options of a [`Loader`](super::Loader): the allowed backends, their settings, and the trust
/// policy.
///
/// ```
/// # #[cfg(feature = "wasm")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use dynvm::wasm::CpuLimit;
/// use dynvm::{Loader, LoaderOptions};
///
/// let mut options = LoaderOptions::default();
/// options.wasm.memory_limit = Some(64 << 20);
/// options.wasm.cpu_limit = CpuLimit::Time(Duration::from_millis(50));
/// let loader = Loader::with_options(options)?;
/// # let _ = loader;
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "wasm"))]
/// # fn main() {}
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LoaderOptions {
    /// Options of native plugins. `None`, the default, refuses them: native code has all rights of
    /// the process.
    #[cfg(feature = "native")]
    pub native: Option<native::Options>,
    /// Options of wasm plugins, which are always allowed.
    #[cfg(feature = "wasm")]
    pub wasm: wasm::Options,
    /// Policy for artifacts. With `None`, the default, every artifact that a backend accepts is
    /// loaded. With a policy, native code needs `native` above and must be allowed by the policy,
    /// which denies it by default.
    pub trust: Option<TrustPolicy>,
    /// Preferred part of fat plugins.
    pub prefer: BackendPreference,
}

impl LoaderOptions {
    /// Allows native plugins, with the default [options](native::Options).
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

    /// Sets the options of wasm plugins.
    #[cfg(feature = "wasm")]
    pub fn wasm(mut self, options: wasm::Options) -> LoaderOptions {
        self.wasm = options;
        self
    }

    /// Sets the policy that every artifact must satisfy.
    pub fn trust(mut self, policy: TrustPolicy) -> LoaderOptions {
        self.trust = Some(policy);
        self
    }

    /// Sets the preferred part of fat plugins.
    pub fn prefer(mut self, prefer: BackendPreference) -> LoaderOptions {
        self.prefer = prefer;
        self
    }

    /// How much of a native plugin's file has to be read: all of it, if rules are about all of it, or if the system's loader is to read it
    /// again and compare.
    pub(super) fn extent(&self) -> Extent {
        #[cfg(feature = "native")]
        if let Some(options) = &self.native
            && options.loading == native::Loading::Image
            && self.trust.as_ref().is_none_or(|policy| !policy.rules(ArtifactKind::Native).ask_of_bytes())
        {
            return Extent::Mapped;
        }
        Extent::Whole
    }

    /// The backends that are compiled in and allowed.
    #[allow(clippy::vec_init_then_push, unused_mut, reason = "with one backend compiled in, one push is left, or none")]
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

/// The error for a kind of artifact that no backend of the loader accepts.
pub(super) fn no_backend(name: &str, kind: ArtifactKind) -> LoadError {
    let name = name.to_owned();
    match kind {
        ArtifactKind::Native if cfg!(feature = "native") => LoadError::NativeNotAllowed { name },
        ArtifactKind::Native => LoadError::BackendMissing { name, kind, feature: "native" },
        ArtifactKind::Wasm | ArtifactKind::WasmText => LoadError::BackendMissing { name, kind, feature: "wasm" },
        ArtifactKind::Linked => LoadError::BackendMissing { name, kind, feature: "null" },
    }
}
