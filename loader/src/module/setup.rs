//! What loading depends on.

use std::path::Path;
use std::sync::Arc;

use super::options::{LoaderOptions, no_backend};
use crate::artifact::{ArtifactKind, BackendPreference};
use crate::backend::{Backend, Code, Source};
use crate::error::LoadError;
use crate::trust::TrustPolicy;

/// The engines and rules of a loader. Clones share them.
#[derive(Clone)]
pub(super) struct Setup {
    backends: Arc<[Box<dyn Backend>]>,
    pub(super) trust: Option<Arc<TrustPolicy>>,
    pub(super) prefer: BackendPreference,
}

impl Setup {
    pub(super) fn new(options: LoaderOptions) -> Result<Setup, LoadError> {
        let backends = options.backends()?;
        Ok(Setup { backends: backends.into(), trust: options.trust.map(Arc::new), prefer: options.prefer })
    }

    /// The backend for this kind of artifact, if it is compiled in and allowed.
    pub(super) fn backend(&self, name: &str, kind: ArtifactKind) -> Result<&dyn Backend, LoadError> {
        let backend = self.backends.iter().find(|backend| backend.kind() == kind.backend());
        backend.map(AsRef::as_ref).ok_or_else(|| no_backend(name, kind))
    }

    /// `path`: the file that has exactly these bytes.
    pub(super) fn compile(
        &self,
        name: &str,
        kind: ArtifactKind,
        bytes: &[u8],
        path: Option<&Path>,
    ) -> Result<Arc<dyn Code>, LoadError> {
        let check_library = |library: &Path| self.check_library(library);
        self.backend(name, kind)?.compile(&Source { name, bytes, path, check_library: &check_library })
    }

    /// Applies the policy, if any, to a library from a plugin's own folders: its code runs as the plugin's does.
    fn check_library(&self, path: &Path) -> Result<(), LoadError> {
        let Some(policy) = &self.trust else { return Ok(()) };
        policy.check(&policy.read_file(path, None)?.evidence()?)?;
        Ok(())
    }
}
