//! Where a version comes from.

use std::path::{Path, PathBuf};

/// Where an artifact is read from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Source {
    /// A file, which [`Deployment::reload`](super::Deployment::reload) reads again.
    File(PathBuf),
    /// Bytes in memory.
    Bytes {
        /// For messages.
        name: String,
        /// The artifact.
        bytes: Vec<u8>,
    },
}

impl Source {
    /// An artifact in memory. The name is for messages.
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
    /// The path of a file.
    fn from(path: &str) -> Source {
        Source::File(path.into())
    }
}

/// What the current version was loaded from. Bytes are not kept: nothing reads them again.
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
