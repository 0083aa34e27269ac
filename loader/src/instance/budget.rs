//! The time that a callback may take: a thread of the process looks at what VMs are doing.
//!
//! A VM with a budget notes when it enters and leaves a callback, in a slot that the watchdog reads; no clock is read on the way. The
//! watchdog sees that a callback is still the one that it was, and reports it, with the stack where the backend knows it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use dynvm_abi::table::{CALLBACKS, CallbackId};
use dynvm_abi::types::LogLevel;

use crate::config::{CallbackBudget, OverrunAction};
use crate::host::{Log, LogSource};

/// What the watchdog wants of a VM's thread, and what came of it.
pub(crate) mod request {
    pub(crate) const NONE: u8 = 0;
    /// The stack.
    pub(crate) const STACK: u8 = 1;
    /// The stack, and to leave the callback.
    pub(crate) const STOP: u8 = 2;
    /// The stack is there.
    pub(crate) const DONE: u8 = 3;
}

/// Describes addresses in an image.
type Describe = Box<dyn Fn(&[u64]) -> String + Send + Sync>;

/// How a VM's thread is asked: false if it cannot be now.
type Interrupt = Box<dyn Fn() + Send + Sync>;

/// What one VM is doing.
pub(crate) struct WatchdogEntry {
    budget: CallbackBudget,
    log: Arc<dyn Log>,
    vm_id: String,
    plugin: Mutex<String>,
    /// Odd while a callback runs; another number for each.
    serial: AtomicU64,
    callback: AtomicU8,
    context: AtomicU32,
    pub(crate) request: AtomicU8,
    frames: [AtomicU64; 32],
    frame_count: AtomicUsize,
    native: Mutex<Option<(Interrupt, Describe)>>,
    terminated: AtomicBool,
}

/// How a plugin failed that the embedder terminated.
#[cfg_attr(not(feature = "native"), expect(dead_code, reason = "only native VMs are terminated"))]
pub(crate) const TERMINATED: &str = "the host terminated the plugin";

/// Stands for the functions before any callback.
const STARTING: u8 = u8::MAX;

impl WatchdogEntry {
    /// A slot that the watchdog looks at for as long as it lives.
    pub(crate) fn new(budget: CallbackBudget, log: Arc<dyn Log>, vm_id: &str) -> Arc<WatchdogEntry> {
        let slot = WatchdogEntry::unwatched(budget, log, vm_id);
        Watchdog::add(&slot);
        slot
    }

    /// A slot that the watchdog does not look at.
    pub(crate) fn unwatched(budget: CallbackBudget, log: Arc<dyn Log>, vm_id: &str) -> Arc<WatchdogEntry> {
        Arc::new(WatchdogEntry {
            budget,
            log,
            vm_id: vm_id.to_owned(),
            plugin: Mutex::default(),
            serial: AtomicU64::new(0),
            callback: AtomicU8::new(STARTING),
            context: AtomicU32::new(0),
            request: AtomicU8::new(request::NONE),
            frames: [const { AtomicU64::new(0) }; 32],
            frame_count: AtomicUsize::new(0),
            native: Mutex::new(None),
            terminated: AtomicBool::new(false),
        })
    }

    /// Has the callback under way left, and all that follow fail. Called from any thread; waits for at most so long. Returns whether the
    /// plugin runs no more: not while it is in a hostcall, or in a library that it called.
    #[cfg_attr(not(feature = "native"), expect(dead_code, reason = "only native VMs are terminated"))]
    pub(crate) fn terminate(&self, patience: Duration) -> bool {
        self.terminated.store(true, Ordering::Release);
        let end = Instant::now() + patience;
        loop {
            let serial = self.serial.load(Ordering::Acquire);
            if serial.is_multiple_of(2) {
                return true;
            }
            self.request.store(request::STOP, Ordering::Release);
            if let Some((interrupt, _)) = &*lock(&self.native) {
                interrupt();
            }
            std::thread::sleep(Duration::from_millis(1));
            if Instant::now() > end {
                return self.serial.load(Ordering::Acquire) != serial;
            }
        }
    }

    #[cfg_attr(not(feature = "native"), expect(dead_code, reason = "only native VMs are terminated"))]
    #[inline]
    pub(crate) fn is_terminated(&self) -> bool {
        self.terminated.load(Ordering::Acquire)
    }

    pub(crate) fn limit(&self) -> Duration {
        self.budget.limit
    }

    pub(crate) fn fails(&self) -> bool {
        self.budget.action == OverrunAction::Fail
    }

    /// The plugin whose callbacks come next, for messages.
    pub(crate) fn set_plugin(&self, name: &str) {
        *lock(&self.plugin) = name.to_owned();
    }

    /// Tells how the thread can be interrupted in code of the plugin's, and how its stack is described. Both are called by the watchdog.
    #[cfg_attr(not(feature = "native"), expect(dead_code, reason = "wasm interrupts itself"))]
    pub(crate) fn set_native(&self, interrupt: Interrupt, describe: Describe) {
        *lock(&self.native) = Some((interrupt, describe));
    }

    /// A callback begins; it ends when the guard is dropped.
    pub(crate) fn enter(&self, callback: Option<CallbackId>, context: u32) -> Running<'_> {
        self.callback.store(callback.map_or(STARTING, |id| id as u8), Ordering::Relaxed);
        self.context.store(context, Ordering::Relaxed);
        self.request.store(request::NONE, Ordering::Relaxed);
        // Written by this thread alone, so that no read-modify-write is needed.
        self.serial.store(self.serial.load(Ordering::Relaxed) + 1, Ordering::Release);
        Running(self)
    }

    /// A call of a raw VM begins; `None`: it is one within another, which goes on.
    #[cfg_attr(not(feature = "native"), expect(dead_code, reason = "raw VMs are native"))]
    #[inline]
    pub(crate) fn enter_raw(&self) -> Option<Running<'_>> {
        let serial = self.serial.load(Ordering::Relaxed);
        if !serial.is_multiple_of(2) {
            return None;
        }
        self.request.store(request::NONE, Ordering::Relaxed);
        self.serial.store(serial + 1, Ordering::Release);
        Some(Running(self))
    }

    /// Takes the stack, in the handler of a signal.
    #[cfg_attr(not(feature = "native"), expect(dead_code, reason = "wasm has its own backtraces"))]
    pub(crate) fn answer(&self, frames: &[u64]) {
        for (slot, frame) in self.frames.iter().zip(frames) {
            slot.store(*frame, Ordering::Relaxed);
        }
        self.frame_count.store(frames.len().min(self.frames.len()), Ordering::Relaxed);
        self.request.store(request::DONE, Ordering::Release);
    }

    fn report(&self, time: Duration) {
        let function = match self.callback.load(Ordering::Relaxed) {
            STARTING => "its start functions",
            id => CALLBACKS.get(usize::from(id)).map_or("a callback", |row| row.name),
        };
        let mut text = format!(
            "the plugin has been in {function} for {} ms; its budget is {} ms",
            time.as_millis(),
            self.budget.limit.as_millis()
        );
        if let Some((_, describe)) = &*lock(&self.native) {
            if self.request.load(Ordering::Acquire) == request::DONE {
                let count = self.frame_count.load(Ordering::Relaxed);
                let frames: Vec<u64> = self.frames[..count].iter().map(|frame| frame.load(Ordering::Relaxed)).collect();
                text += &describe(&frames);
            } else {
                text += "; it is in a hostcall or in a library that it called";
            }
        }
        let plugin = lock(&self.plugin).clone();
        let source =
            LogSource { vm_id: &self.vm_id, plugin: &plugin, context_id: self.context.load(Ordering::Relaxed) };
        self.log.log(source, LogLevel::Error, text.as_bytes());
    }
}

/// A callback under way.
pub(crate) struct Running<'a>(&'a WatchdogEntry);

impl Drop for Running<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.serial.store(self.0.serial.load(Ordering::Relaxed) + 1, Ordering::Release);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread that looks at all slots of the process. It sleeps while there are none.
struct Watchdog {
    slots: Mutex<Vec<Seen>>,
    added: Condvar,
}

/// What the watchdog knows of a slot.
struct Seen {
    slot: Weak<WatchdogEntry>,
    serial: u64,
    since: Instant,
    reported: bool,
}

static WATCHDOG: Watchdog = Watchdog { slots: Mutex::new(Vec::new()), added: Condvar::new() };

impl Watchdog {
    fn add(slot: &Arc<WatchdogEntry>) {
        static START: std::sync::Once = std::sync::Once::new();
        START.call_once(|| {
            let thread = std::thread::Builder::new().name("dynvm-watchdog".to_owned());
            // Without the thread nothing is reported, which is better than to fail VMs for it.
            let _ = thread.spawn(|| WATCHDOG.watch());
        });
        lock(&WATCHDOG.slots).push(Seen {
            slot: Arc::downgrade(slot),
            serial: 0,
            since: Instant::now(),
            reported: false,
        });
        WATCHDOG.added.notify_one();
    }

    fn watch(&self) {
        loop {
            let mut slots = lock(&self.slots);
            while slots.is_empty() {
                slots = self.added.wait(slots).unwrap_or_else(PoisonError::into_inner);
            }
            let mut pause = Duration::from_millis(100);
            slots.retain_mut(|seen| {
                let Some(slot) = seen.slot.upgrade() else { return false };
                seen.look(&slot);
                pause = pause.min(slot.limit() / 4);
                true
            });
            drop(slots);
            std::thread::sleep(pause.max(Duration::from_millis(1)));
        }
    }
}

impl Seen {
    fn look(&mut self, slot: &WatchdogEntry) {
        let serial = slot.serial.load(Ordering::Acquire);
        let now = Instant::now();
        if serial != self.serial || serial.is_multiple_of(2) {
            (self.serial, self.since, self.reported) = (serial, now, false);
            return;
        }
        let time = now - self.since;
        if time < slot.limit() || (self.reported && !slot.fails()) {
            return;
        }
        let answered = slot.request.load(Ordering::Acquire) == request::DONE;
        // Where the thread cannot be interrupted, it is not waited for longer than this.
        let patience = slot.limit() + Duration::from_millis(50);
        if let Some((interrupt, _)) = &*lock(&slot.native)
            && !answered
        {
            slot.request.store(if slot.fails() { request::STOP } else { request::STACK }, Ordering::Release);
            interrupt();
            if time < patience {
                return;
            }
        }
        if !self.reported {
            self.reported = true;
            slot.report(time);
        }
    }
}
