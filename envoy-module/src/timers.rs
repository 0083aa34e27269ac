//! Ticks: when they are due on a thread, and the clock that wakes threads for them.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use dynvm::ContextId;

use crate::inbox::Inbox;

/// The ticks of a thread's plugin.
pub struct Ticks {
    ticks: RefCell<Vec<Tick>>,
    inbox: Arc<Inbox>,
}

struct Tick {
    version: u64,
    root: ContextId,
    period: Duration,
    due: Instant,
}

impl Ticks {
    /// No ticks yet, on the thread of this inbox.
    pub fn new(inbox: Arc<Inbox>) -> Ticks {
        Ticks { ticks: RefCell::default(), inbox }
    }

    /// Sets the period of a root context; `None` ends its ticks.
    pub fn set(&self, version: u64, root: ContextId, period: Option<Duration>) {
        let mut ticks = self.ticks.borrow_mut();
        ticks.retain(|tick| tick.root != root);
        if let Some(period) = period.filter(|period| !period.is_zero()) {
            let due = Instant::now() + period;
            ticks.push(Tick { version, root, period, due });
            wake_at(due, &self.inbox);
        }
    }

    /// True if a root context has a period.
    pub fn are_set(&self) -> bool {
        !self.ticks.borrow().is_empty()
    }

    /// The root contexts whose ticks are due, each with its version. Their next ticks are set.
    pub fn take_due(&self) -> Vec<(u64, ContextId)> {
        let mut ticks = self.ticks.borrow_mut();
        let now = Instant::now();
        let due = ticks.iter_mut().filter(|tick| tick.due <= now).map(|tick| {
            // From now, not from when it was due: a thread that was busy does not catch up.
            tick.due = now + tick.period;
            wake_at(tick.due, &self.inbox);
            (tick.version, tick.root)
        });
        due.collect()
    }
}

/// Wakes the thread of an inbox at a time.
fn wake_at(at: Instant, inbox: &Arc<Inbox>) {
    static CLOCK: Mutex<Option<Sender<Wake>>> = Mutex::new(None);
    let mut clock = CLOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let sender = clock.get_or_insert_with(start_clock);
    // Sending fails only if the thread did not start; then ticks come with other events.
    let _ = sender.send(Wake { at, inbox: Arc::downgrade(inbox) });
}

struct Wake {
    at: Instant,
    inbox: Weak<Inbox>,
}

impl PartialEq for Wake {
    fn eq(&self, other: &Wake) -> bool {
        self.at == other.at
    }
}

impl Eq for Wake {}

impl PartialOrd for Wake {
    fn partial_cmp(&self, other: &Wake) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Wake {
    fn cmp(&self, other: &Wake) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

/// Starts the thread that wakes others. It runs no code of Envoy but the scheduling of events.
fn start_clock() -> Sender<Wake> {
    let (sender, wakes) = channel::<Wake>();
    let run = move || {
        let mut waiting: BinaryHeap<Reverse<Wake>> = BinaryHeap::new();
        loop {
            let wait = waiting.peek().map(|Reverse(next)| next.at.saturating_duration_since(Instant::now()));
            let received = match wait {
                Some(wait) => wakes.recv_timeout(wait),
                None => wakes.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match received {
                Ok(wake) => waiting.push(Reverse(wake)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = Instant::now();
            while waiting.peek().is_some_and(|Reverse(next)| next.at <= now) {
                let inbox = waiting.pop().and_then(|Reverse(wake)| wake.inbox.upgrade());
                if let Some(inbox) = inbox {
                    inbox.wake();
                }
            }
        }
    };
    let _ = std::thread::Builder::new().name("dynvm:ticks".to_owned()).spawn(run);
    sender
}
