//! Why a plugin was not built.

use std::fmt;

/// Why a plugin was not built: what was being done, what the tool printed, and what to do. It is text for people; there is nothing in it
/// for a program to act on.
#[derive(Debug)]
pub struct BuildError(anyhow::Error);

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl From<anyhow::Error> for BuildError {
    fn from(error: anyhow::Error) -> Self {
        BuildError(error)
    }
}
