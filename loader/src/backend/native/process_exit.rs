//! The ways in which a plugin ends its process, turned into ways to end its VM.
//!
//! An edited image calls these in place of the C library's. On a thread that runs no VM they do what the C library would.

use std::ffi::{CStr, c_char, c_int, c_uint};

use dynvm_abi::types::LogLevel;

use super::backtrace::Backtrace;
use super::crash_cause::{Cause, Crash};
use super::vm::Instance;
use super::{current_instance, guard};

/// The instance whose code calls, if a guarded call can be left: none while the host runs on this thread.
fn guarded() -> Option<&'static Instance> {
    // SAFETY: an instance lives for as long as it is current on this thread; the reference is not kept beyond the call.
    let instance = unsafe { current_instance::get().as_ref() }?;
    (instance.frame.is_entered() && !instance.in_host.get()).then_some(instance)
}

/// Leaves the guarded call under way, as crashed.
///
/// # Safety
///
/// Called by the plugin on this thread: between here and the guarded call there are only frames of the plugin's and of this file, and
/// none of them has anything to drop.
pub(super) unsafe fn leave(instance: &Instance, cause: Cause) -> ! {
    // Should the stack be damaged, the handler of signals takes over.
    instance.walking.set(Some(cause));
    let backtrace = Backtrace::capture(&instance.span, instance.frame.address());
    instance.walking.set(None);
    instance.crash.set(Some(Crash { cause, backtrace }));
    // SAFETY: the caller's promise.
    unsafe { guard::escape(&instance.frame) }
}

/// `void abort(void)`
pub(super) extern "C" fn abort() {
    if let Some(instance) = guarded() {
        // SAFETY: the plugin called.
        unsafe { leave(instance, Cause::Abort) }
    }
    std::process::abort()
}

/// `void exit(int)`, `void _exit(int)`, `void _Exit(int)`
pub(super) extern "C" fn exit(code: c_int) {
    if let Some(instance) = guarded() {
        // SAFETY: the plugin called.
        unsafe { leave(instance, Cause::Exit(code)) }
    }
    std::process::exit(code)
}

/// `void __stack_chk_fail(void)`
pub(super) extern "C" fn stack_chk_fail() {
    if let Some(instance) = guarded() {
        // SAFETY: the plugin called. The frame whose canary was overwritten is abandoned.
        unsafe { leave(instance, Cause::StackSmashed) }
    }
    std::process::abort()
}

/// `void __assert_fail(const char *assertion, const char *file, unsigned line, const char *function)`
pub(super) unsafe extern "C" fn assert_fail(
    assertion: *const c_char,
    file: *const c_char,
    line: c_uint,
    function: *const c_char,
) {
    let text = |address: *const c_char| {
        if address.is_null() {
            return String::new();
        }
        // SAFETY: the plugin passes strings, as to the C library.
        unsafe { CStr::from_ptr(address) }.to_string_lossy().into_owned()
    };
    let message = format!("{}:{line}: {}: assertion failed: {}", text(file), text(function), text(assertion));
    if let Some(instance) = guarded() {
        instance.state().log(LogLevel::Critical, message.as_bytes());
        drop(message);
        // SAFETY: the plugin called, and nothing here is left to drop.
        unsafe { leave(instance, Cause::Assertion) }
    }
    eprintln!("{message}");
    std::process::abort()
}

/// What `std::terminate` calls, in images that use the system's C++ library: an exception that nobody caught, or one that left a
/// `noexcept` function. Passes on what is not a plugin's.
pub(super) extern "C" fn terminate() {
    if let Some(instance) = guarded() {
        // SAFETY: the plugin's code threw; the C++ library's frames between hold no lock and may be abandoned.
        unsafe { leave(instance, Cause::Exception) }
    }
    match TERMINATE_BEFORE.get().copied().flatten() {
        Some(before) => before(),
        None => std::process::abort(),
    }
}

type TerminateHandler = extern "C" fn();

static TERMINATE_BEFORE: std::sync::OnceLock<Option<TerminateHandler>> = std::sync::OnceLock::new();

/// Makes the C++ library of the process call [`terminate`], once.
pub(super) fn watch_terminate(library: &libloading::os::unix::Library) {
    // `std::set_terminate(void (*)())`, which is found in the libraries that the image needs too.
    type SetTerminate = unsafe extern "C" fn(TerminateHandler) -> Option<TerminateHandler>;
    // SAFETY: it has this signature wherever it exists.
    let Ok(set) = (unsafe { library.get::<SetTerminate>(b"_ZSt13set_terminatePFvvE") }) else { return };
    // SAFETY: any function may be set.
    TERMINATE_BEFORE.get_or_init(|| unsafe { set(terminate) });
}
