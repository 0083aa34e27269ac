//! Time limits of calls, with wasmtime's epochs.
//!
//! A thread increments the epoch of the engine every millisecond. Compiled code compares the epoch
//! with its deadline at function entries and loop back edges, and traps when the deadline is
//! reached; this costs less than counting fuel and needs no signals.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

use crate::error::{Failure, FailureKind};
use crate::fork;

/// Period of the epoch.
const TICK: Duration = Duration::from_millis(1);

/// The clock of one engine.
pub(super) struct EpochClock {
    engine: EngineWeak,
    /// The fork generation in which the thread was started.
    generation: AtomicU32,
}

impl EpochClock {
    /// Starts a clock, which ticks until the engine is dropped.
    ///
    /// # Errors
    ///
    /// The system cannot start a thread.
    pub(super) fn start(engine: &Engine) -> io::Result<Arc<EpochClock>> {
        fork::count();
        let clock = EpochClock { engine: engine.weak(), generation: AtomicU32::new(fork::generation()) };
        clock.spawn()?;
        Ok(Arc::new(clock))
    }

    fn spawn(&self) -> io::Result<()> {
        let engine = self.engine.clone();
        let ticking = move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(TICK);
            }
        };
        std::thread::Builder::new().name("dynvm-epoch".to_owned()).spawn(ticking).map(drop)
    }

    #[inline]
    fn is_running(&self) -> bool {
        self.generation.load(Ordering::Relaxed) == fork::generation()
    }

    /// Restarts the thread, in a forked child.
    #[cold]
    fn restart(&self) -> Result<(), Box<Failure>> {
        let now = fork::generation();
        let before = self.generation.swap(now, Ordering::Relaxed);
        if before == now {
            // Another thread of this process has restarted it.
            return Ok(());
        }
        self.spawn().map_err(|error| {
            self.generation.store(before, Ordering::Relaxed);
            let text = format!("the time limit cannot be enforced: the system cannot start a thread: {error}");
            Failure::new(FailureKind::Host, text)
        })
    }
}

/// Time limit of each call of a VM.
pub(super) struct TimeLimit {
    clock: Arc<EpochClock>,
    ticks: u64,
}

impl TimeLimit {
    pub(super) fn new(clock: Arc<EpochClock>, time: Duration) -> TimeLimit {
        // One more tick, because the current one may end at once: a call never gets less than its
        // time.
        TimeLimit { clock, ticks: time.as_nanos().div_ceil(TICK.as_nanos()) as u64 + 1 }
    }

    /// The number of ticks that a call may last. Restarts the clock if it does not run in this
    /// process.
    #[inline]
    pub(super) fn ticks(&self) -> Result<u64, Box<Failure>> {
        if !self.clock.is_running() {
            self.clock.restart()?;
        }
        Ok(self.ticks)
    }
}
