//! What VMs of a module lack.

use std::fmt;

/// A protection that the loader gives to VMs of native plugins, where it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Protection {
    /// A processor fault in the plugin's code fails its VM, not the process.
    Faults,
    /// `abort`, `exit` and uncaught exceptions fail the VM, not the process.
    Exits,
    /// Endless recursion fails the VM, not the process.
    Recursion,
    /// The VM has a private heap: counted, limited, freed as a whole.
    Heap,
    /// Several VMs at once, each with statics of its own.
    Statics,
    /// The image is unmapped when its VM ends.
    Unloading,
    /// Standard output and error go to the log.
    Output,
    /// The time is that of the host.
    Clock,
    /// Random bytes are those of the host.
    Random,
    /// Environment variables are those of the VM's configuration.
    Environment,
}

impl Protection {
    /// The name in metrics and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Protection::Faults => "faults",
            Protection::Exits => "exits",
            Protection::Recursion => "recursion",
            Protection::Heap => "heap",
            Protection::Statics => "statics",
            Protection::Unloading => "unloading",
            Protection::Output => "output",
            Protection::Clock => "clock",
            Protection::Random => "random",
            Protection::Environment => "environment",
        }
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A protection that VMs of a module lack, fully or in part, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limitation {
    /// What they lack.
    pub protection: Protection,
    /// The reason, with the consequence where it is not obvious.
    pub reason: String,
}

impl Limitation {
    #[cfg_attr(not(any(feature = "native", feature = "null")), expect(dead_code, reason = "wasm modules have none"))]
    pub(crate) fn new(protection: Protection, reason: impl Into<String>) -> Limitation {
        Limitation { protection, reason: reason.into() }
    }
}

impl fmt::Display for Limitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.protection, self.reason)
    }
}
