//! The rule for what is contained: a guarded call may be abandoned if each frame on the stack above it may be.
//!
//! Those are the image's own frames, and those of a library function that is known to hold nothing ([`known_code`]). Any other frame may
//! hold a lock, so to abandon it would trade a crash for a deadlock, later and elsewhere. Faults, exits, exceptions and the watchdog all
//! ask here.

use super::backtrace::Backtrace;
use super::crash_cause::Cause;
use super::unwinder::Frame;
use super::vm::Instance;
use super::{known_code, thread_stack, unwinder};

/// From where the stack is examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// A signal handler: from the instruction that the signal interrupted, with the stack pointer there.
    Signal(usize),
    /// A function of the loader that the image called.
    Call,
    /// A function of the loader that the C++ runtime called.
    Throw,
    /// The personality routine of the guarded call, in a forced unwinding.
    ForcedUnwind,
}

/// The walk of a stack, for a handler to go on from where it faults on a damaged stack.
#[derive(Clone, Copy)]
pub(super) struct Walking {
    /// Why the stack is walked.
    pub(super) cause: Cause,
    progress: Progress,
}

/// How far the walk of a stack has come.
#[derive(Clone, Copy)]
struct Progress {
    /// Up to here the stack was understood.
    understood_to: usize,
    /// All frames up to there may be abandoned.
    may_abandon: bool,
}

impl Walking {
    pub(super) fn new(cause: Cause, stack_pointer: usize) -> Walking {
        Walking { cause, progress: Progress { understood_to: stack_pointer, may_abandon: true } }
    }

    /// Whether the guarded call may be abandoned though the walk faulted.
    pub(super) fn may_abandon(&self, instance: &Instance) -> bool {
        self.progress.may_abandon(instance)
    }
}

impl Progress {
    /// Whether the guarded call may be abandoned: what was not walked is searched.
    fn may_abandon(&self, instance: &Instance) -> bool {
        self.may_abandon && is_clear(instance, self.understood_to)
    }
}

/// The plugin's frames up to the innermost guarded call, and whether that may be abandoned.
///
/// Allocates nothing, so that it can run in a signal handler. On a damaged stack it may fault; then the handler asks what is left in
/// `instance.walking`.
#[inline(never)]
pub(super) fn examine(instance: &Instance, from: From) -> (Backtrace, bool) {
    let mut walk = Walk {
        backtrace: Backtrace::default(),
        instance,
        from,
        started: !matches!(from, From::Signal(_)),
        run: Run::default(),
        progress: Progress {
            // The frame of this function is below all that matter.
            understood_to: match from {
                From::Signal(stack_pointer) => stack_pointer,
                _ => (&raw const instance) as usize,
            },
            may_abandon: true,
        },
        is_first: true,
        last: 0,
    };
    unwinder::walk(&mut |frame| visit(&mut walk, frame));
    (walk.backtrace, walk.progress.may_abandon(instance))
}

/// Whether nothing on the stack from here up to the guarded call looks like a call under way outside of the image.
///
/// For stacks that cannot be walked: overwritten, or of code without unwind tables. What an earlier call left behind there may make this
/// say no, where yes would do.
fn is_clear(instance: &Instance, stack_pointer: usize) -> bool {
    // More is not searched in a signal handler.
    const MOST: usize = 1 << 20;
    let end = instance.frame.address();
    let start = stack_pointer.next_multiple_of(size_of::<usize>());
    if start >= end {
        return start == end;
    }
    if end - start > MOST || !thread_stack::is_above_guard(start) {
        return false;
    }
    (start..end).step_by(size_of::<usize>()).all(|at| {
        // SAFETY: between a stack pointer of this thread and its guarded call, all is the stack's.
        let value = unsafe { (at as *const usize).read() };
        instance.span.contains(&value)
            || !is_library_call(value)
            || known_code::is_abandonable(known_code::function_of(value - 1))
    })
}

/// Whether an address stands behind a call in a library.
fn is_library_call(address: usize) -> bool {
    if address < 1 << 16 || known_code::is_own(address) || known_code::function_of(address - 1) == 0 {
        return false;
    }
    // SAFETY: the address is in a function, and not at its beginning: a function before it, or its own bytes, are mapped.
    unsafe { is_behind_call(address) }
}

/// # Safety
///
/// The address is in the text of a library, as are the bytes before it.
#[cfg(target_arch = "x86_64")]
unsafe fn is_behind_call(address: usize) -> bool {
    // SAFETY: the caller's promise.
    let byte = |before: usize| unsafe { ((address - before) as *const u8).read() };
    // call rel32; call r/m64 in its lengths.
    byte(5) == 0xe8 || [2, 3, 4, 6, 7].into_iter().any(|len| byte(len) == 0xff && byte(len - 1) >> 3 & 7 == 2)
}

/// # Safety
///
/// The address is in the text of a library, as are the bytes before it.
#[cfg(target_arch = "aarch64")]
unsafe fn is_behind_call(address: usize) -> bool {
    // SAFETY: the caller's promise.
    let instruction = unsafe { ((address & !3) as *const u32).sub(1).read() };
    // bl; blr, also with pointer authentication.
    instruction >> 26 == 0b10_0101 || instruction & 0xfeff_f000 == 0xd63f_0000
}

/// # Safety
///
/// None.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn is_behind_call(_: usize) -> bool {
    true
}

/// Frames outside of the image between two that are in it.
#[derive(Default)]
struct Run {
    len: usize,
    /// An address in the outermost one: the function that the image called.
    outermost: usize,
    all_c: bool,
    all_unwinder: bool,
    all_own: bool,
    all_throw: bool,
    asked: bool,
    allocates: bool,
}

struct Walk<'a> {
    backtrace: Backtrace,
    instance: &'a Instance,
    from: From,
    /// Frames of the signal's handler come first.
    started: bool,
    run: Run,
    progress: Progress,
    is_first: bool,
    last: usize,
}

impl Walk<'_> {
    fn add_foreign(&mut self, address: usize, lsda: usize) {
        let is_first = self.run.len == 0;
        let run = &mut self.run;
        run.len += 1;
        run.outermost = address;
        run.all_c = (is_first || run.all_c) && known_code::is_c(address);
        run.all_unwinder = (is_first || run.all_unwinder) && known_code::is_unwinder(address);
        run.all_own = (is_first || run.all_own) && known_code::is_own(address);
        if self.from == From::Throw && self.is_first {
            let is_own = known_code::is_own(address);
            // What called the loader asks what to do, and holds nothing while it does.
            let asks = !is_own && !run.asked;
            run.asked |= asks;
            let throws = is_own || known_code::may_throw(address, if asks { 0 } else { lsda });
            run.all_throw = (is_first || run.all_throw) && throws;
        }
        if known_code::is_c(address) {
            run.allocates |= known_code::is_allocator(known_code::function_of(address));
        }
    }

    /// A frame of the image, or the guarded call, is behind these.
    fn end_run(&mut self, is_guarded_call: bool) {
        let run = std::mem::take(&mut self.run);
        let is_first = std::mem::replace(&mut self.is_first, false);
        if run.len == 0 {
            return;
        }
        let function = known_code::function_of(run.outermost);
        let allowed = (run.all_c && !run.allocates || run.all_unwinder) && known_code::is_abandonable(function)
            // What an embedder had called, to call the image with other types of arguments.
            || is_guarded_call && function == self.instance.frame.function()
            || is_first
                && match self.from {
                    From::Signal(_) => false,
                    From::Call => run.all_own,
                    From::Throw => run.all_throw,
                    From::ForcedUnwind => known_code::is_thread_exit(function),
                };
        self.progress.may_abandon &= allowed;
    }
}

/// False: the walk has reached its end.
fn visit(walk: &mut Walk<'_>, frame: Frame) -> bool {
    let Frame { address, is_interrupted, mut frame, language_data, .. } = frame;
    // A frame that called goes on behind the call, which may be the next function.
    let address = address.wrapping_sub(usize::from(!is_interrupted));
    if !walk.started && !is_interrupted {
        // Of the handler, perhaps on a stack of its own.
        return true;
    }
    if let (false, From::Signal(stack_pointer)) = (walk.started, walk.from) {
        // The unwinder of aarch64 says where the signal's registers are, which may be on another stack.
        frame = stack_pointer;
    }
    walk.started = true;
    // A damaged stack may lead in a circle.
    if frame < walk.last {
        return false;
    }
    walk.last = frame;
    // What the unwinder calls the frame address is where the frame stood when it called.
    let end = walk.instance.frame.address();
    if frame >= end {
        let reached = frame == end;
        walk.end_run(reached);
        if reached {
            // Nothing is left to be searched.
            walk.progress.understood_to = end;
        }
        return false;
    }
    let span = &walk.instance.span;
    if span.contains(&address) {
        walk.end_run(false);
        walk.progress.understood_to = frame;
        let walking = &walk.instance.walking;
        walking.set(walking.get().map(|so_far| Walking { progress: walk.progress, ..so_far }));
        walk.backtrace.push((address.wrapping_sub(walk.instance.origin)) as u64);
    } else {
        let lsda = if walk.from == From::Throw { language_data } else { 0 };
        walk.add_foreign(address, lsda);
    }
    true
}
