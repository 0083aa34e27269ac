//! Errors of reloads.

use dynvm::{LoadError, StartError};

/// Why a reload was refused. The previous version keeps serving.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeployError {
    /// The artifact cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The artifact was loaded, but the plugin does not start.
    #[error("{name}: this version is not used because its plugin does not start")]
    Canary {
        /// Name of the artifact.
        name: String,
        /// Cause of the start failure.
        source: StartError,
    },
    /// The current version was loaded from memory.
    #[error("{name}: was loaded from memory, so there is no file to read again: use reload_bytes or reload_from")]
    NoFile {
        /// Name of the artifact.
        name: String,
    },
    /// The file cannot be watched.
    #[cfg(feature = "watch")]
    #[error("{path}: cannot be watched; reload on a signal instead, or raise the limits fs.inotify.*", path = path.display())]
    Watch {
        /// Path of the file.
        path: std::path::PathBuf,
        /// Error of the operating system.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
