//! Time budgets of callbacks, enforced by a watchdog thread.
//!
//! A VM with a budget increments a serial number in its watchdog entry when it enters and leaves a
//! callback: two plain stores, and no reading of a clock. One thread per process samples all
//! entries. If it finds the same odd serial number for longer than the budget, that callback has
//! overrun, and the thread reports it, with the stack where the backend knows it.

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use dynvm_abi::table::{CALLBACKS, CallbackId};
use dynvm_abi::types::LogLevel;

use crate::config::{CallbackBudget, OverrunAction};
use crate::fork;
use crate::host::{Log, LogSource};

/// A request from the watchdog to a VM's thread. It names the callback that it is for, so that one that comes late does not
/// hit the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request(u64);

impl Request {
    const NONE: Request = Request(0);
    /// Record the stack.
    const STACK: u64 = 1;
    /// Record the stack and abort the callback.
    const STOP: u64 = 2;
    /// The stack has been recorded.
    const DONE: u64 = 3;

    fn of(serial: u64, kind: u64) -> Request {
        Request(serial << 2 | kind)
    }

    fn kind(self) -> u64 {
        self.0 & 3
    }

    fn is_for(self, serial: u64) -> bool {
        self.0 >> 2 == serial
    }

    /// True if the callback is to be aborted.
    #[cfg_attr(not(any(feature = "native", feature = "null")), expect(dead_code, reason = "wasm interrupts itself"))]
    #[inline]
    pub(crate) fn stops(self) -> bool {
        self.kind() == Request::STOP
    }
}

/// Formats the stack whose addresses are given.
type Describe = Box<dyn Fn(&[u64]) -> String + Send + Sync>;

/// Access of the watchdog to a native VM on its thread.
pub(crate) struct NativeAccess {
    /// Returns the system's id of the calling thread.
    pub(crate) this_thread: fn() -> i32,
    /// Interrupts the thread with this id. Has no effect while the thread runs no code of the
    /// plugin.
    pub(crate) interrupt: fn(i32),
    /// Formats the recorded stack.
    pub(crate) describe: Describe,
}

/// One VM's entry: the callback in progress, and the watchdog's request. The VM's thread writes it,
/// the watchdog reads it.
pub(crate) struct WatchdogEntry {
    budget: CallbackBudget,
    log: Arc<dyn Log>,
    vm_id: String,
    plugin: Mutex<String>,
    /// Odd while a callback runs, even between callbacks. It never repeats, so equal odd values
    /// mean the same callback.
    serial: AtomicU64,
    callback: AtomicU8,
    /// The address of the running function, for a call into an image; otherwise 0.
    function: AtomicUsize,
    /// Names of such functions.
    functions: Mutex<HashMap<usize, String>>,
    context: AtomicU32,
    request: AtomicU64,
    frames: [AtomicU64; 32],
    frame_count: AtomicUsize,
    /// Interrupts at which the callback was outside the plugin's code, so that its stack was not recorded. The watchdog resets it before it asks
    /// a callback for the first time.
    declined: AtomicU32,
    /// Not behind a lock, because a fork could leave the lock held in the child.
    native: OnceLock<NativeAccess>,
    thread: AtomicI32,
    watched: bool,
    /// The VM is gone: nothing about it is reported any more.
    ended: AtomicBool,
    /// The fork generation in which the VM runs.
    generation: AtomicU32,
    /// What keeps a call from being made or from going on: 0, or a set of the constants below. One
    /// word, so that prepared calls and direct hostcalls look at nothing else.
    attention: AtomicU32,
}

// Above every status, with which direct hostcalls combine them.
/// The VM has failed.
const HAS_FAILED: u32 = 1 << 31;
/// The host terminated it.
const IS_TERMINATED: u32 = 1 << 30;
/// The watchdog requested something, perhaps in an earlier call.
const IS_REQUESTED: u32 = 1 << 29;

/// Message of the failure after [`WatchdogEntry::terminate`].
#[cfg_attr(
    not(any(feature = "native", feature = "null")),
    expect(dead_code, reason = "only native VMs are terminated")
)]
pub(crate) const TERMINATED: &str = "the host terminated the plugin";

/// Marks the start functions, which run before any callback.
const STARTING: u8 = u8::MAX;

/// Marks the destructors, which run after all callbacks.
const ENDING: u8 = u8::MAX - 1;

/// Where prepared calls and direct hostcalls find what they read and write.
#[cfg(all(any(feature = "native", feature = "null"), target_os = "linux", target_arch = "x86_64"))]
impl WatchdogEntry {
    pub(crate) const ATTENTION_AT: usize = std::mem::offset_of!(WatchdogEntry, attention);
    pub(crate) const FUNCTION_AT: usize = std::mem::offset_of!(WatchdogEntry, function);
    pub(crate) const GENERATION_AT: usize = std::mem::offset_of!(WatchdogEntry, generation);
    pub(crate) const SERIAL_AT: usize = std::mem::offset_of!(WatchdogEntry, serial);

    /// What keeps a call from going on; no bit of it is one of a status.
    #[cfg(feature = "native")]
    pub(crate) fn attention(&self) -> u32 {
        self.attention.load(Ordering::Acquire)
    }

    /// Marks the end of a prepared call that did not return.
    pub(crate) fn leave_prepared(&self) {
        drop(Running(self));
    }
}

impl WatchdogEntry {
    /// An entry that the watchdog samples until it is dropped.
    pub(crate) fn new(budget: CallbackBudget, log: Arc<dyn Log>, vm_id: &str) -> Arc<WatchdogEntry> {
        let slot = Arc::new(WatchdogEntry::make(budget, log, vm_id, true));
        WATCHDOG.add(&slot);
        slot
    }

    /// An entry that the watchdog does not sample, for a VM that can be terminated but has no
    /// budget.
    #[cfg_attr(
        not(any(feature = "native", feature = "null")),
        expect(dead_code, reason = "only images without a host are unwatched")
    )]
    pub(crate) fn unwatched(budget: CallbackBudget, log: Arc<dyn Log>, vm_id: &str) -> Arc<WatchdogEntry> {
        Arc::new(WatchdogEntry::make(budget, log, vm_id, false))
    }

    fn make(budget: CallbackBudget, log: Arc<dyn Log>, vm_id: &str, watched: bool) -> WatchdogEntry {
        fork::count();
        WatchdogEntry {
            budget,
            log,
            vm_id: vm_id.to_owned(),
            plugin: Mutex::default(),
            serial: AtomicU64::new(0),
            callback: AtomicU8::new(STARTING),
            function: AtomicUsize::new(0),
            functions: Mutex::default(),
            context: AtomicU32::new(0),
            request: AtomicU64::new(Request::NONE.0),
            frames: [const { AtomicU64::new(0) }; 32],
            frame_count: AtomicUsize::new(0),
            declined: AtomicU32::new(0),
            native: OnceLock::new(),
            thread: AtomicI32::new(0),
            watched,
            ended: AtomicBool::new(false),
            generation: AtomicU32::new(fork::generation()),
            attention: AtomicU32::new(0),
        }
    }

    /// Aborts the running callback and makes every later one fail. Can be called from any thread;
    /// blocks for at most `patience`. Returns true if the plugin no longer runs, false if it is
    /// still inside a hostcall or a library that it called.
    #[cfg_attr(
        not(any(feature = "native", feature = "null")),
        expect(dead_code, reason = "only native VMs are terminated")
    )]
    pub(crate) fn terminate(&self, patience: Duration) -> bool {
        self.attention.fetch_or(IS_TERMINATED, Ordering::Release);
        let end = Instant::now() + patience;
        loop {
            let serial = self.serial.load(Ordering::Acquire);
            if serial.is_multiple_of(2) {
                return true;
            }
            self.ask(serial, Request::STOP);
            self.interrupt();
            std::thread::sleep(Duration::from_millis(1));
            if Instant::now() > end {
                return self.serial.load(Ordering::Acquire) != serial;
            }
        }
    }

    /// True during a call; false while destructors run at the VM's end.
    #[cfg_attr(not(any(feature = "native", feature = "null")), expect(dead_code, reason = "raw VMs are native"))]
    pub(crate) fn is_running(&self) -> bool {
        !self.serial.load(Ordering::Relaxed).is_multiple_of(2) && self.callback.load(Ordering::Relaxed) != ENDING
    }

    #[cfg_attr(
        not(any(feature = "native", feature = "null")),
        expect(dead_code, reason = "only native VMs are terminated")
    )]
    #[inline]
    pub(crate) fn is_terminated(&self) -> bool {
        self.attention.load(Ordering::Acquire) & IS_TERMINATED != 0
    }

    pub(crate) fn limit(&self) -> Duration {
        self.budget.limit
    }

    pub(crate) fn fails(&self) -> bool {
        self.budget.action == OverrunAction::Fail
    }

    /// Sets the plugin's name for messages about the next callbacks.
    pub(crate) fn set_plugin(&self, name: &str) {
        *lock(&self.plugin) = name.to_owned();
    }

    /// Names a function of an image for messages.
    #[cfg_attr(not(any(feature = "native", feature = "null")), expect(dead_code, reason = "raw VMs are native"))]
    pub(crate) fn name_function(&self, address: usize, name: &str) {
        lock(&self.functions).insert(address, name.to_owned());
    }

    /// Ends the reports about this VM. Waits for one that is in progress, unless this is called
    /// inside it.
    #[cfg_attr(
        not(any(feature = "native", feature = "null")),
        expect(dead_code, reason = "the log of other VMs is reference-counted")
    )]
    pub(crate) fn end_reports(&self) {
        if self.watched {
            WATCHDOG.end_reports(self);
        }
    }

    /// Gives the watchdog access to this thread, on which a native VM runs from now on.
    #[cfg_attr(not(any(feature = "native", feature = "null")), expect(dead_code, reason = "wasm interrupts itself"))]
    pub(crate) fn set_native(&self, access: NativeAccess) {
        self.thread.store((access.this_thread)(), Ordering::Relaxed);
        // Set only once: an entry belongs to one VM.
        let _ = self.native.set(access);
    }

    /// Notes that a native VM runs on this thread from now on.
    pub(crate) fn enter_thread(&self) {
        if let Some(native) = self.native.get() {
            self.thread.store((native.this_thread)(), Ordering::Relaxed);
        }
    }

    /// Interrupts the VM's thread, if the backend can.
    fn interrupt(&self) {
        if let Some(native) = self.native.get() {
            (native.interrupt)(self.thread.load(Ordering::Relaxed));
        }
    }

    /// Repairs the entry in a forked child, where the thread has another id and the watchdog does
    /// not run.
    #[cold]
    fn enter_process(&self) {
        self.enter_thread();
        self.generation.store(fork::generation(), Ordering::Relaxed);
        if self.watched {
            WATCHDOG.ensure_thread(self);
        }
    }

    #[inline]
    fn is_of_this_process(&self) -> bool {
        self.generation.load(Ordering::Relaxed) == fork::generation()
    }

    /// Notes that the VM has failed.
    pub(crate) fn set_failed(&self) {
        self.attention.fetch_or(HAS_FAILED, Ordering::Relaxed);
    }

    /// Forgets that something was requested in an earlier call. The request itself is for that call alone.
    #[inline]
    fn clear_request(&self) {
        if self.attention.load(Ordering::Relaxed) & IS_REQUESTED != 0 {
            self.attention.fetch_and(!IS_REQUESTED, Ordering::Relaxed);
        }
    }

    /// Marks the start of a callback; dropping the guard marks its end.
    pub(crate) fn enter(&self, callback: Option<CallbackId>, context: u32) -> Running<'_> {
        if !self.is_of_this_process() {
            self.enter_process();
        }
        self.callback.store(callback.map_or(STARTING, |id| id as u8), Ordering::Relaxed);
        self.function.store(0, Ordering::Relaxed);
        self.context.store(context, Ordering::Relaxed);
        self.clear_request();
        // Only this thread writes the serial number, so a load and a store are enough.
        self.serial.store(self.serial.load(Ordering::Relaxed) + 1, Ordering::Release);
        Running(self)
    }

    /// Marks the start of the VM's end, where destructors run.
    #[cfg_attr(not(any(feature = "native", feature = "null")), expect(dead_code, reason = "wasm has no destructors"))]
    pub(crate) fn enter_end(&self) -> Running<'_> {
        let running = self.enter(None, 0);
        self.callback.store(ENDING, Ordering::Relaxed);
        running
    }

    /// Marks the start of a call of this function of an image. `None` for a call within another
    /// call, which stays the marked one.
    #[cfg_attr(not(any(feature = "native", feature = "null")), expect(dead_code, reason = "raw VMs are native"))]
    #[inline]
    pub(crate) fn enter_raw(&self, function: usize) -> Option<Running<'_>> {
        let serial = self.serial.load(Ordering::Relaxed);
        if !serial.is_multiple_of(2) {
            return None;
        }
        if !self.is_of_this_process() {
            self.enter_process();
        }
        self.function.store(function, Ordering::Relaxed);
        self.clear_request();
        self.serial.store(serial + 1, Ordering::Release);
        Some(Running(self))
    }

    /// Records the stack. Called in a signal handler, so it only stores to atomics.
    #[cfg_attr(
        not(any(feature = "native", feature = "null")),
        expect(dead_code, reason = "wasm has its own backtraces")
    )]
    pub(crate) fn answer(&self, frames: &[u64]) {
        for (slot, frame) in self.frames.iter().zip(frames) {
            slot.store(*frame, Ordering::Relaxed);
        }
        self.frame_count.store(frames.len().min(self.frames.len()), Ordering::Relaxed);
        let serial = self.serial.load(Ordering::Relaxed);
        self.request.store(Request::of(serial, Request::DONE).0, Ordering::Release);
    }

    /// Counts an interrupt that found the thread outside the plugin's code. Called in a signal handler.
    #[cfg_attr(not(any(feature = "native", feature = "null")), expect(dead_code, reason = "wasm interrupts itself"))]
    pub(crate) fn decline(&self) {
        self.declined.fetch_add(1, Ordering::Relaxed);
    }

    /// The watchdog's request to this thread, if there is one for the running callback.
    #[cfg_attr(not(any(feature = "native", feature = "null")), expect(dead_code, reason = "wasm interrupts itself"))]
    #[inline]
    pub(crate) fn requested(&self) -> Option<Request> {
        let request = Request(self.request.load(Ordering::Acquire));
        let is_open = matches!(request.kind(), Request::STACK | Request::STOP);
        (is_open && request.is_for(self.serial.load(Ordering::Relaxed))).then_some(request)
    }

    /// Asks for something in the callback with this serial number. Ignored if that has ended.
    fn ask(&self, serial: u64, kind: u64) {
        self.request.store(Request::of(serial, kind).0, Ordering::Release);
        self.attention.fetch_or(IS_REQUESTED, Ordering::Release);
    }

    /// True if the stack of the callback with this serial number has been recorded.
    fn has_answered(&self, serial: u64) -> bool {
        self.request.load(Ordering::Acquire) == Request::of(serial, Request::DONE).0
    }

    /// The name of the running function.
    fn function(&self) -> String {
        let name = match (self.function.load(Ordering::Relaxed), self.callback.load(Ordering::Relaxed)) {
            (0, STARTING) => "its start functions",
            (0, ENDING) => "its destructors",
            (0, id) => CALLBACKS.get(usize::from(id)).map_or("a callback", |row| row.name),
            (function, _) => return lock(&self.functions).get(&function).map_or("a function".to_owned(), Clone::clone),
        };
        name.to_owned()
    }

    fn describe_overrun(&self, time: Duration) -> String {
        let function = self.function();
        let mut text = format!(
            "the plugin has been in {function} for {} ms; its budget is {} ms",
            time.as_millis(),
            self.budget.limit.as_millis()
        );
        if let Some(native) = self.native.get() {
            if self.has_answered(self.serial.load(Ordering::Relaxed)) {
                let count = self.frame_count.load(Ordering::Relaxed);
                let frames: Vec<u64> = self.frames[..count].iter().map(|frame| frame.load(Ordering::Relaxed)).collect();
                text += &(native.describe)(&frames);
            } else {
                text += "; it is in a hostcall or in a library that it called";
            }
        }
        text
    }

    fn tell(&self, plugin: &str, text: &str) {
        let source = LogSource { vm_id: &self.vm_id, plugin, context_id: self.context.load(Ordering::Relaxed) };
        self.log.log(source, LogLevel::Error, text.as_bytes());
    }
}

/// A callback in progress.
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

/// The thread that samples the entries of the process. It sleeps while there are none.
struct Watchdog {
    state: Mutex<State>,
    added: Condvar,
    /// A report has ended.
    reported: Condvar,
}

struct State {
    slots: Vec<Seen>,
    /// The thread, and the fork generation in which it was started.
    thread: Option<(u32, ThreadId)>,
    /// The address of the entry that is being reported, or 0.
    reporting: usize,
}

/// The last observation of an entry.
struct Seen {
    slot: Weak<WatchdogEntry>,
    serial: u64,
    since: Instant,
    /// The first request for the stack.
    asked: Option<Instant>,
    reported: bool,
}

/// An overrun that is about to be reported.
struct Overrun {
    slot: Arc<WatchdogEntry>,
    plugin: String,
    text: String,
}

static WATCHDOG: Watchdog = Watchdog {
    state: Mutex::new(State { slots: Vec::new(), thread: None, reporting: 0 }),
    added: Condvar::new(),
    reported: Condvar::new(),
};

impl Watchdog {
    fn add(&'static self, slot: &Arc<WatchdogEntry>) {
        guard_forks();
        lock(&self.state).slots.push(Seen {
            slot: Arc::downgrade(slot),
            serial: 0,
            since: Instant::now(),
            asked: None,
            reported: false,
        });
        self.ensure_thread(slot);
        self.added.notify_one();
    }

    /// Starts the thread, unless it runs in this process already.
    fn ensure_thread(&'static self, slot: &WatchdogEntry) {
        if let Err(error) = self.start() {
            // Reported and not fatal: plugins without a watchdog are better than no plugins.
            let text = format!(
                "callback_budget: the system cannot start a thread: {error}; overruns are neither reported nor stopped"
            );
            slot.tell("", &text);
        }
    }

    fn start(&'static self) -> io::Result<()> {
        let mut state = lock(&self.state);
        let generation = fork::generation();
        if state.thread.is_none_or(|(started, _)| started != generation) {
            let thread = std::thread::Builder::new().name("dynvm-watchdog".to_owned()).spawn(|| self.watch())?;
            // A report that was in progress during a fork never ends in the child.
            (state.thread, state.reporting) = (Some((generation, thread.thread().id())), 0);
        }
        Ok(())
    }

    /// False if the VM is gone.
    fn begin_report(&self, slot: &WatchdogEntry) -> bool {
        let mut state = lock(&self.state);
        let lives = !slot.ended.load(Ordering::Relaxed);
        if lives {
            state.reporting = std::ptr::from_ref(slot).addr();
        }
        lives
    }

    fn end_reports(&self, slot: &WatchdogEntry) {
        let (entry, this) = (std::ptr::from_ref(slot).addr(), std::thread::current().id());
        let mut state = lock(&self.state);
        slot.ended.store(true, Ordering::Relaxed);
        let elsewhere = |(started, thread)| started == fork::generation() && thread != this;
        while state.reporting == entry && state.thread.is_some_and(elsewhere) {
            state = self.reported.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn watch(&self) {
        let (mut live, mut overruns) = (Vec::new(), Vec::new());
        loop {
            let mut state = lock(&self.state);
            while state.slots.is_empty() {
                state = self.added.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let mut pause = Duration::from_millis(100);
            state.slots.retain_mut(|seen| {
                let Some(slot) = seen.slot.upgrade() else { return false };
                // Only the forking thread exists in a child. A VM of another thread never runs
                // here.
                if slot.is_of_this_process() {
                    overruns.extend(seen.look(&slot, Instant::now()));
                    // Four samples per limit bound the delay with which an overrun is noticed.
                    pause = pause.min(slot.limit() / 4);
                    if seen.asked.is_some() && !seen.reported {
                        pause = pause.min(Duration::from_millis(10));
                    }
                }
                live.push(slot);
                true
            });
            drop(state);
            // The log is code of the embedder. It may wait for a thread that forks, which takes the
            // lock: so no lock is held here.
            for Overrun { slot, plugin, text } in overruns.drain(..) {
                if self.begin_report(&slot) {
                    // A log that panics must not stop the watchdog for other VMs.
                    let _ = catch_unwind(AssertUnwindSafe(|| slot.tell(&plugin, &text)));
                    lock(&self.state).reporting = 0;
                    self.reported.notify_all();
                }
            }
            live.clear();
            std::thread::sleep(pause.max(Duration::from_millis(1)));
        }
    }
}

/// Holds the watchdog's lock during a fork. Otherwise another thread could hold it at that moment,
/// and nobody would release it in the child.
fn guard_forks() {
    thread_local! {
        static HELD: Cell<Option<MutexGuard<'static, State>>> = const { Cell::new(None) };
    }
    extern "C" fn before() {
        let _ = HELD.try_with(|held| held.set(Some(lock(&WATCHDOG.state))));
    }
    extern "C" fn after() {
        let _ = HELD.try_with(Cell::take);
    }
    static GUARDED: AtomicBool = AtomicBool::new(false);
    if !GUARDED.swap(true, Ordering::Relaxed) {
        fork::at_fork(Some(before), Some(after), Some(after));
    }
}

/// Interrupts that must find a thread outside the plugin's code, and for how long at least, before it is reported without a stack.
const DECLINES: u32 = 5;
const PATIENCE: Duration = Duration::from_millis(50);

/// The same for a thread that takes no interrupt: the system does not run it, or it blocks the signal.
const PATIENCE_UNANSWERED: Duration = Duration::from_secs(1);

impl Seen {
    fn look(&mut self, slot: &Arc<WatchdogEntry>, now: Instant) -> Option<Overrun> {
        let serial = slot.serial.load(Ordering::Acquire);
        if serial != self.serial || serial.is_multiple_of(2) {
            (self.serial, self.since, self.asked, self.reported) = (serial, now, None, false);
            return None;
        }
        // The callback started before it was first seen, so it is never reported early.
        let time = now - self.since;
        if time < slot.limit() || (self.reported && !slot.fails()) {
            return None;
        }
        if slot.native.get().is_some() && !slot.has_answered(serial) {
            let asked = *self.asked.get_or_insert_with(|| {
                slot.declined.store(0, Ordering::Relaxed);
                now
            });
            slot.ask(serial, if slot.fails() { Request::STOP } else { Request::STACK });
            slot.interrupt();
            let is_elsewhere = slot.declined.load(Ordering::Relaxed) >= DECLINES;
            if now - asked < if is_elsewhere { PATIENCE } else { PATIENCE_UNANSWERED } {
                return None;
            }
        }
        if std::mem::replace(&mut self.reported, true) {
            return None;
        }
        let plugin = lock(&slot.plugin).clone();
        Some(Overrun { slot: slot.clone(), plugin, text: slot.describe_overrun(time) })
    }
}

#[cfg(all(test, any(feature = "native", feature = "null")))]
mod tests {
    use super::*;
    use crate::host::NoLog;

    /// A request that the watchdog makes as its callback ends is not for the next one.
    #[test]
    fn a_late_request_is_for_nobody() {
        let entry = WatchdogEntry::unwatched(CallbackBudget::fail(Duration::MAX), Arc::new(NoLog), "");
        let running = entry.enter(None, 0);
        let serial = entry.serial.load(Ordering::Relaxed);
        entry.ask(serial, Request::STOP);
        assert!(entry.requested().is_some_and(Request::stops));
        drop(running);
        assert_eq!(entry.requested(), None);
        let _running = entry.enter(None, 0);
        entry.ask(serial, Request::STOP);
        assert_eq!(entry.requested(), None);
        entry.answer(&[]);
        assert!(!entry.has_answered(serial) && entry.has_answered(serial + 2));
    }
    /// A thread that has not run since it was asked for its stack gets time for it; one that is outside the plugin does not.
    #[test]
    fn a_report_waits_for_a_thread_that_does_not_run() {
        let entry = Arc::new(WatchdogEntry::unwatched(CallbackBudget::report(PATIENCE), Arc::new(NoLog), ""));
        let describe = Box::new(|frames: &[u64]| format!(" in {frames:?}"));
        entry.set_native(NativeAccess { this_thread: || 1, interrupt: |_| (), describe });
        let start = Instant::now();
        let mut seen = Seen { slot: Arc::downgrade(&entry), serial: 0, since: start, asked: None, reported: false };
        let text = |seen: &mut Seen, time| seen.look(&entry, start + time).map(|overrun| overrun.text);

        let running = entry.enter(None, 0);
        assert_eq!(text(&mut seen, Duration::ZERO), None);
        // The watchdog itself comes late.
        assert_eq!(text(&mut seen, PATIENCE * 3), None);
        assert_eq!(text(&mut seen, PATIENCE * 5), None);
        entry.answer(&[7]);
        assert!(text(&mut seen, PATIENCE * 6).is_some_and(|text| text.ends_with(" in [7]")));
        assert_eq!(text(&mut seen, PATIENCE * 7), None, "once");
        drop(running);

        let running = entry.enter(None, 0);
        assert_eq!(text(&mut seen, PATIENCE * 10), None);
        assert_eq!(text(&mut seen, PATIENCE * 11), None);
        (0..DECLINES).for_each(|_| entry.decline());
        assert!(text(&mut seen, PATIENCE * 12).is_some_and(|text| text.contains("in a hostcall or in a library")));
        drop(running);

        let _running = entry.enter(None, 0);
        assert_eq!(text(&mut seen, PATIENCE * 20), None);
        assert_eq!(text(&mut seen, PATIENCE * 21), None);
        assert_eq!(text(&mut seen, PATIENCE * 23), None, "what the callback before declined does not count");
        assert!(text(&mut seen, PATIENCE * 21 + PATIENCE_UNANSWERED).is_some(), "it blocks the signal");
    }
}
