//! Clocks: the system's, and one for tests.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Source of time for hostcalls, for WASI, and for native plugins that call the C library or
/// libstdc++ directly (see `docs/differences.md`).
pub trait Clock: Send + Sync {
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    fn realtime_ns(&self) -> u64;

    /// Nanoseconds since an arbitrary fixed moment. Never decreases.
    fn monotonic_ns(&self) -> u64;

    /// True for the system's clock. Native plugins then keep calling the C library, whose waits use
    /// the same clock.
    fn is_system(&self) -> bool {
        false
    }
}

/// The clocks of the system.
pub struct SystemClock;

impl Clock for SystemClock {
    fn realtime_ns(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
    }

    fn monotonic_ns(&self) -> u64 {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed().as_nanos() as u64
    }

    fn is_system(&self) -> bool {
        true
    }
}

/// A clock that the embedder moves, for tests and comparisons.
pub struct ManualClock {
    /// The time of day when `elapsed_ns` was 0. Wraps if the clock is set back by more than that.
    start_ns: AtomicU64,
    elapsed_ns: AtomicU64,
}

impl ManualClock {
    /// A clock at this time since 1970.
    pub fn at(since_epoch: Duration) -> ManualClock {
        ManualClock { start_ns: AtomicU64::new(since_epoch.as_nanos() as u64), elapsed_ns: AtomicU64::new(0) }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        self.elapsed_ns.fetch_add(by.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Sets the time of day, also backwards. The monotonic clock does not change.
    pub fn set(&self, since_epoch: Duration) {
        self.start_ns.store((since_epoch.as_nanos() as u64).wrapping_sub(self.monotonic_ns()), Ordering::Relaxed);
    }
}

impl Default for ManualClock {
    /// A clock at 2024-01-01T00:00:00Z.
    fn default() -> Self {
        ManualClock::at(Duration::from_secs(1_704_067_200))
    }
}

impl Clock for ManualClock {
    fn realtime_ns(&self) -> u64 {
        self.start_ns.load(Ordering::Relaxed).wrapping_add(self.monotonic_ns())
    }

    fn monotonic_ns(&self) -> u64 {
        self.elapsed_ns.load(Ordering::Relaxed)
    }
}
