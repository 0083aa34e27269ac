//! Sources of versions.

use std::path::{Path, PathBuf};

/// The source of an artifact.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Source {
    /// A file; [`Deployment::reload`](super::Deployment::reload) reads it again.
    File(PathBuf),
    /// Bytes in memory.
    Bytes {
        /// Name in messages.
        name: String,
        /// The artifact's bytes.
        bytes: Vec<u8>,
    },
}

impl Source {
    /// An artifact in memory, with a name for messages.
    pub fn bytes(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Source {
        Source::Bytes { name: name.into(), bytes: bytes.into() }
    }
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Source {
        Source::File(path)
    }
}

impl From<&Path> for Source {
    fn from(path: &Path) -> Source {
        Source::File(path.to_owned())
    }
}

impl From<&str> for Source {
    /// Uses the string as the path of a file.
    fn from(path: &str) -> Source {
        Source::File(path.into())
    }
}

/// The source of the current version. Bytes are not kept, because nothing reads them again.
pub(super) enum Origin {
    File(PathBuf),
    Memory { name: String },
}

impl From<&Source> for Origin {
    fn from(source: &Source) -> Origin {
        match source {
            Source::File(path) => Origin::File(path.clone()),
            Source::Bytes { name, .. } => Origin::Memory { name: name.clone() },
        }
    }
}
