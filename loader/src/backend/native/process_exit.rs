//! The ways in which a plugin ends its process, turned into ways to end its VM.
//!
//! Images call these in place of the C library's. On a thread that runs no VM, in a child process that a plugin forked, and where the
//! call cannot be left, they do what the C library would.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

use dynvm_abi::types::LogLevel;

use super::containment::{self, From, Walking};
use super::crash_cause::{Cause, Crash};
use super::vm::Instance;
use super::{address_check, child_process, door, guard};

/// The instance whose code calls, if a guarded call can be left: none while the host runs on this thread. Of one whose calls are not
/// guarded, the log says what ends the process.
fn guarded(function: &str) -> Option<&'static Instance> {
    let instance = door::caller()?;
    if instance.frame.is_entered() {
        return Some(instance);
    }
    let message = || format!("the plugin calls {function}; its VM is not contained, so the process ends");
    let _ = door::enter(instance, function, || instance.state().log(LogLevel::Critical, message().as_bytes()));
    None
}

/// Leaves the guarded call under way, as crashed. Returns if it cannot be left.
///
/// # Safety
///
/// Called for the plugin on this thread: between here and the guarded call there are only frames of the plugin's, of libraries, and of the
/// loader's functions that the plugin called, and these have nothing to drop.
pub(super) unsafe fn leave(instance: &Instance, cause: Cause) {
    // SAFETY: the caller's promise.
    unsafe { leave_from(instance, cause, From::Call) }
}

/// The same, from a function that others than the image called.
///
/// # Safety
///
/// As [`leave`].
pub(super) unsafe fn leave_from(instance: &Instance, cause: Cause, from: From) {
    if !instance.frame.is_entered() || child_process::is_of(instance) {
        return;
    }
    guard::clear_flags();
    // Should the stack be damaged, the handler of signals takes over.
    instance.walking.set(Some(Walking::new(cause, (&raw const instance) as usize)));
    let (backtrace, may_abandon) = containment::examine(instance, from);
    instance.walking.set(None);
    if may_abandon {
        instance.crash.set(Some(Crash { cause, backtrace }));
        // SAFETY: the caller's promise, and containment's.
        unsafe { guard::escape(&instance.frame) }
    }
}

/// Ends the process as `abort` does, in a child at once.
pub(super) fn abort_process() -> ! {
    if is_child() {
        child_process::die_of(libc::SIGABRT);
    }
    std::process::abort()
}

/// Whether this is a child process that the plugin of this thread forked.
fn is_child() -> bool {
    // SAFETY: an instance lives for as long as it is current on this thread.
    unsafe { super::current_instance::get().as_ref() }.is_some_and(child_process::is_of)
}

/// `void abort(void)`
pub(super) extern "C" fn abort() {
    if let Some(instance) = guarded("abort") {
        // SAFETY: the plugin called.
        unsafe { leave(instance, Cause::Abort) }
    }
    abort_process()
}

/// `void exit(int)`
pub(super) extern "C" fn exit(code: c_int) {
    if let Some(instance) = guarded("exit") {
        // SAFETY: the plugin called.
        unsafe { leave(instance, Cause::Exit(code)) }
    }
    if is_child() {
        // The handlers of `exit` are the host's.
        child_process::exit(code);
    }
    // SAFETY: what the plugin asked for, on a thread or in a library where it cannot be refused.
    unsafe { libc::exit(code) }
}

/// `void _exit(int)`, `void _Exit(int)`
pub(super) extern "C" fn exit_now(code: c_int) {
    if let Some(instance) = guarded("_exit") {
        // SAFETY: the plugin called.
        unsafe { leave(instance, Cause::Exit(code)) }
    }
    child_process::exit(code)
}

/// `void pthread_exit(void *)`, `void thrd_exit(int)`
pub(super) unsafe extern "C" fn thread_exit(value: *mut c_void) {
    if let Some(instance) = guarded("pthread_exit") {
        // SAFETY: the plugin called. Its frames are abandoned as in a crash, and not unwound.
        unsafe { leave(instance, Cause::ThreadExit) }
        abort_process();
    }
    // SAFETY: a thread of the plugin's own, which ends as it asks.
    unsafe { libc::pthread_exit(value) }
}

/// `void __stack_chk_fail(void)`
pub(super) extern "C" fn stack_chk_fail() {
    if let Some(instance) = guarded("__stack_chk_fail") {
        // SAFETY: the plugin called. The frame whose canary was overwritten is abandoned.
        unsafe { leave(instance, Cause::StackSmashed) }
    }
    abort_process()
}

/// `void __assert_fail(const char *assertion, const char *file, unsigned line, const char *function)`
pub(super) unsafe extern "C" fn assert_fail(
    assertion: *const c_char,
    file: *const c_char,
    line: c_uint,
    function: *const c_char,
) {
    let text = |address: *const c_char| {
        if !address_check::readable(address as u64, 1) {
            return String::new();
        }
        // SAFETY: the plugin passes strings, as to the C library.
        unsafe { CStr::from_ptr(address) }.to_string_lossy().into_owned()
    };
    let message = || format!("{}:{line}: {}: assertion failed: {}", text(file), text(function), text(assertion));
    match guarded("__assert_fail") {
        Some(instance) => {
            let _ = door::enter(instance, "assert", || {
                instance.state().log(LogLevel::Critical, message().as_bytes());
            });
            // SAFETY: the plugin called, and nothing here is left to drop.
            unsafe { leave(instance, Cause::Assertion) }
        }
        None => eprintln!("{}", message()),
    }
    abort_process()
}

/// What `std::terminate` calls, in images that use the system's C++ library: an exception that nobody caught, or one that left a
/// `noexcept` function. Passes on what is not a plugin's.
pub(super) extern "C" fn terminate() {
    if let Some(instance) = guarded("std::terminate") {
        // SAFETY: the plugin's code threw.
        unsafe { leave_from(instance, Cause::Exception, From::Throw) }
    }
    match TERMINATE_BEFORE.get().copied().flatten() {
        Some(before) if !is_child() => before(),
        _ => abort_process(),
    }
}

type TerminateHandler = extern "C" fn();

static TERMINATE_BEFORE: std::sync::OnceLock<Option<TerminateHandler>> = std::sync::OnceLock::new();

/// Makes the C++ library of images call [`terminate`], once. `set` is its `std::set_terminate(void (*)())`.
///
/// # Safety
///
/// The address is of this function.
pub(super) unsafe fn watch_terminate(set: usize) {
    // SAFETY: the caller's promise; any function may be set.
    TERMINATE_BEFORE.get_or_init(|| unsafe {
        let set: unsafe extern "C" fn(TerminateHandler) -> Option<TerminateHandler> = std::mem::transmute(set);
        set(terminate)
    });
}
