//! What loading depends on.

use std::path::Path;
use std::sync::Arc;

use super::input::Input;
use super::options::{LoaderOptions, no_backend};
use crate::artifact::{ArtifactKind, BackendPreference};
use crate::backend::{Backend, Code, Source};
use crate::error::LoadError;
use crate::trust::{Extent, TrustPolicy};

/// The engines and rules of a loader. Clones share them.
#[derive(Clone)]
pub(super) struct Setup {
    backends: Arc<[Box<dyn Backend>]>,
    pub(super) trust: Option<Arc<TrustPolicy>>,
    pub(super) prefer: BackendPreference,
    /// How much of a native plugin's file is read to load it.
    pub(super) extent: Extent,
}

impl Setup {
    pub(super) fn new(options: LoaderOptions) -> Result<Setup, LoadError> {
        let (backends, extent) = (options.backends()?, options.extent());
        Ok(Setup { backends: backends.into(), trust: options.trust.map(Arc::new), prefer: options.prefer, extent })
    }

    /// The backend for this kind of artifact, if it is compiled in and allowed.
    pub(super) fn backend(&self, name: &str, kind: ArtifactKind) -> Result<&dyn Backend, LoadError> {
        let backend = self.backends.iter().find(|backend| backend.kind() == kind.backend());
        backend.map(AsRef::as_ref).ok_or_else(|| no_backend(name, kind))
    }

    pub(super) fn compile(&self, kind: ArtifactKind, input: &Input<'_>) -> Result<Arc<dyn Code>, LoadError> {
        let check_library = |library: &Path| self.check_library(library);
        self.backend(input.name, kind)?.compile(&Source {
            name: input.name,
            bytes: input.bytes,
            path: input.path,
            #[cfg(feature = "native")]
            original: input.original,
            check_library: &check_library,
        })
    }

    /// Applies the policy, if any, to a library from a plugin's own folders: its code runs as the plugin's does.
    fn check_library(&self, path: &Path) -> Result<(), LoadError> {
        let Some(policy) = &self.trust else { return Ok(()) };
        policy.check(&policy.read_file(path, None)?.evidence()?)?;
        Ok(())
    }
}
