//! Names of VMs and of what lives in them.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

/// A VM of this process. No two VMs have the same, also when one has ended before the other starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VmId(NonZeroU64);

impl VmId {
    /// The next VM's.
    pub(crate) fn next() -> VmId {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        VmId(NonZeroU64::new(number).expect("2^64 VMs take centuries"))
    }

    /// Its number, for logs and metrics.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for VmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A context of one VM. Roots and streams share one space of numbers, from 1 on; a number is not used again while its
/// context lives.
///
/// Every other VM answers as for a context that does not exist, also the VM that replaces a failed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContextId {
    vm: VmId,
    id: u32,
}

impl ContextId {
    pub(crate) fn new(vm: VmId, id: u32) -> ContextId {
        ContextId { vm, id }
    }

    /// The VM that it belongs to.
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

/// An HTTP or gRPC call of one VM.
///
/// Every other VM answers as for a call that is not under way, so that an answer reaches nobody but the VM that made the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    vm: VmId,
    token: u32,
}

impl CallId {
    pub(crate) fn new(vm: VmId, token: u32) -> CallId {
        CallId { vm, token }
    }

    /// The VM that made it.
    #[inline]
    pub fn vm(self) -> VmId {
        self.vm
    }

    /// The number that the plugin sees.
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
