//! What one VM writes and others read: no two threads write the same slot.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dynvm_abi::table::{CALLBACKS, CallbackId};

use super::histogram::{Histogram, nanoseconds};

/// The callbacks of one plugin in one VM.
#[derive(Debug)]
pub(super) struct PluginSlots {
    // Most plugins export a few callbacks only: a histogram is made when it is first needed.
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

    /// The callbacks that were made.
    pub(super) fn made(&self) -> impl Iterator<Item = (CallbackId, &Histogram)> {
        self.callbacks.iter().filter_map(OnceLock::get).map(|slot| (slot.0, &slot.1))
    }
}

/// The state of one VM.
#[derive(Debug)]
pub(super) struct VmSlots {
    pub(super) failed: AtomicBool,
    memory: AtomicU64,
}

/// Stands for a memory that is not known.
const UNKNOWN: u64 = u64::MAX;

impl Default for VmSlots {
    fn default() -> Self {
        VmSlots { failed: AtomicBool::new(false), memory: AtomicU64::new(UNKNOWN) }
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
