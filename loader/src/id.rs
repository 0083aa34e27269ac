//! Identities of VMs, and of contexts and calls within them.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

/// Identity of a VM. Unique in this process, also among VMs that have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VmId(NonZeroU64);

impl VmId {
    /// Takes the next number.
    pub(crate) fn next() -> VmId {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        VmId(NonZeroU64::new(number).expect("2^64 VMs take centuries"))
    }

    /// The number, for logs and metrics.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for VmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Identity of a context: its VM and the number that the plugin sees.
///
/// Roots and streams of a VM share one sequence of numbers, starting at 1; a number is not reused
/// while its context lives. A VM treats a context of another VM as unknown, also if that VM
/// replaced a failed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContextId {
    vm: VmId,
    id: u32,
}

impl ContextId {
    pub(crate) fn new(vm: VmId, id: u32) -> ContextId {
        ContextId { vm, id }
    }

    /// The VM that owns the context.
    #[inline]
    pub fn vm(self) -> VmId {
        self.vm
    }

    /// The number that the plugin sees.
    #[inline]
    pub fn get(self) -> u32 {
        self.id
    }
}

impl fmt::Display for ContextId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

/// Identity of an HTTP or gRPC call: its VM and the token that the plugin sees.
///
/// A VM treats a call of another VM as unknown, so a response reaches only the VM that made the
/// call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    vm: VmId,
    token: u32,
}

impl CallId {
    pub(crate) fn new(vm: VmId, token: u32) -> CallId {
        CallId { vm, token }
    }

    /// The VM that made the call.
    #[inline]
    pub fn vm(self) -> VmId {
        self.vm
    }

    /// The token that the plugin sees.
    #[inline]
    pub fn token(self) -> u32 {
        self.token
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.token.fmt(f)
    }
}
