//! Events outside streams (ticks, queue events), and the configured properties.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dynvm::ContextId;
use dynvm::host::{Clock as _, ManualClock, Properties, PropertyError, PropertyPath, QueueId, QueueWaker, Timers};

/// Ticks on the host's clock.
pub(super) struct VirtualTimers {
    clock: Arc<ManualClock>,
    timers: RefCell<BTreeMap<ContextId, Timer>>,
}

struct Timer {
    period: u64,
    due: u64,
}

impl VirtualTimers {
    pub(super) fn new(clock: Arc<ManualClock>) -> VirtualTimers {
        VirtualTimers { clock, timers: RefCell::default() }
    }

    pub(super) fn next_due(&self) -> Option<u64> {
        self.timers.borrow().values().map(|timer| timer.due).min()
    }

    /// Restarts the period of each timer.
    pub(super) fn restart(&self) {
        let now = self.clock.monotonic_ns();
        for timer in self.timers.borrow_mut().values_mut() {
            timer.due = now + timer.period;
        }
    }

    /// Returns a root context whose tick is due, and rearms its timer.
    pub(super) fn take_due(&self, now: u64) -> Option<ContextId> {
        let mut timers = self.timers.borrow_mut();
        let (root, timer) =
            timers.iter_mut().filter(|(_, timer)| timer.due <= now).min_by_key(|(_, timer)| timer.due)?;
        timer.due += timer.period;
        Some(*root)
    }
}

impl Timers for VirtualTimers {
    fn set_tick_period(&self, root: ContextId, period: Option<Duration>) {
        let mut timers = self.timers.borrow_mut();
        match period {
            None => timers.remove(&root),
            Some(period) => {
                let period = period.as_nanos() as u64;
                timers.insert(root, Timer { period, due: self.clock.monotonic_ns() + period })
            }
        };
    }
}

/// Queue events in the order of delivery.
pub(super) type Waiting = VecDeque<(ContextId, QueueId)>;

/// Queue events pending delivery.
#[derive(Default)]
pub(super) struct QueueEvents(Mutex<Waiting>);

impl QueueEvents {
    pub(super) fn take(&self) -> Option<(ContextId, QueueId)> {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).pop_front()
    }

    pub(super) fn save(&self) -> Waiting {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    pub(super) fn restore(&self, saved: &Waiting) {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).clone_from(saved);
    }
}

impl QueueWaker for QueueEvents {
    fn wake(&self, root: ContextId, queue: QueueId) {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).push_back((root, queue));
    }
}

/// Properties by dotted path.
pub(super) struct StaticProperties(pub(super) BTreeMap<String, Vec<u8>>);

impl Properties for StaticProperties {
    fn property(&self, path: PropertyPath<'_>) -> Result<Cow<'_, [u8]>, PropertyError> {
        self.0.get(&path.dotted()).map(|value| Cow::Borrowed(value.as_slice())).ok_or(PropertyError::NotFound)
    }
}
