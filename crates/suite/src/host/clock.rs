//! A clock with a constant time.

use std::time::Duration;

use dynvm::host::Clock;

/// Returns the same time always, for the monotonic clock too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrozenClock(u64);

impl FrozenClock {
    /// Sets the clock to seconds since 1970; for 0, to one millisecond, because some plugins do not start at time 0.
    pub(crate) fn at(seconds: u64) -> FrozenClock {
        let time = if seconds == 0 { Duration::from_millis(1) } else { Duration::from_secs(seconds) };
        FrozenClock(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl Clock for FrozenClock {
    fn realtime_ns(&self) -> u64 {
        self.0
    }

    fn monotonic_ns(&self) -> u64 {
        self.0
    }
}
