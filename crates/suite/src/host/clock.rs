//! A clock that stands still.

use std::time::Duration;

use dynvm::host::Clock;

/// Always the same time, also where none that goes on is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrozenClock(u64);

impl FrozenClock {
    /// At seconds since 1970; at 0, a millisecond after the beginning, since some plugins do not start at 0.
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
