//! Errors.

use std::fmt;

/// Why a plugin was not linked: the plugin, the fact and a remedy. The text is for display only.
pub struct LinkError(anyhow::Error);

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Cargo shows what a build script's `main` returns in this form: the message and its causes.
impl fmt::Debug for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for LinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl From<anyhow::Error> for LinkError {
    fn from(error: anyhow::Error) -> Self {
        LinkError(error)
    }
}
