//! Names of what lives in a VM.

use std::fmt;

/// A context of a VM. Roots and streams share one space of numbers, from 1 on; a number is not used again while its context lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContextId(pub(crate) u32);

impl ContextId {
    /// The number that the plugin sees.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ContextId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
