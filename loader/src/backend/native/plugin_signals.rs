//! Signals as a plugin changes them.

use std::ffi::c_int;
use std::ops::Range;
use std::{mem, ptr};

use super::current_instance;

/// Signals by which faults are contained and budgets enforced. They stay unblocked: the kernel ends a process whose fault is blocked.
const KEPT: [c_int; 6] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGURG];

/// Functions by which a handler is installed.
pub(super) const INSTALL_HANDLERS: &[&str] =
    &["sigaction", "signal", "bsd_signal", "sigset", "sysv_signal", "__sysv_signal"];

/// `int pthread_sigmask(int, const sigset_t *, sigset_t *)`, and `sigprocmask`, which is the same in glibc but for `errno`.
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn set_mask(how: c_int, set: *const libc::sigset_t, old: *mut libc::sigset_t) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        if set.is_null() || how == libc::SIG_UNBLOCK {
            return libc::pthread_sigmask(how, set, old);
        }
        let mut allowed = set.read();
        for signal in KEPT {
            libc::sigdelset(&mut allowed, signal);
        }
        libc::pthread_sigmask(how, &allowed, old)
    }
}

/// `int sigaltstack(const stack_t *, stack_t *)`: refused on a host's thread, whose signal stack is the loader's, and would outlive the plugin's.
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn set_stack(stack: *const libc::stack_t, old: *mut libc::stack_t) -> c_int {
    // SAFETY: the caller's promise; the place of `errno` is this thread's.
    unsafe {
        if !stack.is_null() && !current_instance::get().is_null() {
            *libc::__errno_location() = libc::EPERM;
            return -1;
        }
        libc::sigaltstack(stack, old)
    }
}

/// Whether a signal is handled by code in a range of addresses.
pub(super) fn has_handler_in(span: &Range<usize>) -> bool {
    (1..=libc::SIGRTMAX()).any(|signal| {
        // SAFETY: an all-zero action is a place for one.
        let action = unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            libc::sigaction(signal, ptr::null(), &mut action);
            action
        };
        span.contains(&action.sa_sigaction)
    })
}
