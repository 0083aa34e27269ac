//! Counters of one VM: written by the VM's thread, read by others. No two threads write the same
//! counter.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dynvm_abi::table::{CALLBACKS, CallbackId};

use super::histogram::{Histogram, nanoseconds};

/// Times of the callbacks of one plugin in one VM.
#[derive(Debug)]
pub(super) struct PluginSlots {
    // A plugin exports few of the callbacks, so a histogram is allocated at the first call.
    callbacks: [OnceLock<Box<(CallbackId, Histogram)>>; CALLBACKS.len()],
}

impl Default for PluginSlots {
    fn default() -> Self {
        PluginSlots { callbacks: [const { OnceLock::new() }; CALLBACKS.len()] }
    }
}

impl PluginSlots {
    #[inline]
    pub(super) fn record(&self, callback: CallbackId, time: Duration) {
        let slot = &self.callbacks[callback as usize];
        slot.get_or_init(|| Box::new((callback, Histogram::default()))).1.record(nanoseconds(time));
    }

    /// The callbacks that have been called, with their histograms.
    pub(super) fn made(&self) -> impl Iterator<Item = (CallbackId, &Histogram)> {
        self.callbacks.iter().filter_map(OnceLock::get).map(|slot| (slot.0, &slot.1))
    }
}

/// State and memory of one VM.
#[derive(Debug)]
pub(super) struct VmSlots {
    pub(super) failed: AtomicBool,
    pub(super) uncontained: AtomicBool,
    memory: AtomicU64,
}

/// Marks an unknown size of memory.
const UNKNOWN: u64 = u64::MAX;

impl Default for VmSlots {
    fn default() -> Self {
        VmSlots { failed: AtomicBool::new(false), uncontained: AtomicBool::new(false), memory: AtomicU64::new(UNKNOWN) }
    }
}

impl VmSlots {
    pub(super) fn set_memory(&self, bytes: Option<u64>) {
        self.memory.store(bytes.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    pub(super) fn memory(&self) -> Option<u64> {
        Some(self.memory.load(Ordering::Relaxed)).filter(|bytes| *bytes != UNKNOWN)
    }
}
