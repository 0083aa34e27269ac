//! Build errors.

use std::fmt;

/// Why a plugin was not built: the step, the tool's output, and a remedy. The text is for display only.
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
