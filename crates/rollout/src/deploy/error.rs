//! Why a version did not become the current one.

use dynvm::{LoadError, StartError};

/// Why a version did not become the current one. The version that served before goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeployError {
    /// The artifact cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It was loaded, but the plugin does not start.
    #[error("{name}: this version is not used because its plugin does not start")]
    Canary {
        /// The artifact.
        name: String,
        /// Why it does not start.
        source: StartError,
    },
    /// There is no file to read again.
    #[error("{name}: was loaded from memory, so there is no file to read again: use reload_bytes or reload_from")]
    NoFile {
        /// The artifact.
        name: String,
    },
    /// The file cannot be watched.
    #[cfg(feature = "watch")]
    #[error("{path}: cannot be watched; reload on a signal instead, or raise the limits fs.inotify.*", path = path.display())]
    Watch {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
