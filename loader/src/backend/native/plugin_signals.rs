//! Signals as a plugin changes them.

use std::ffi::c_int;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{mem, ptr};

use super::current_instance;

/// Signals by which faults are contained and budgets enforced. They stay unblocked: the kernel ends a process whose fault is blocked.
const KEPT: [c_int; 6] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGURG];

/// Functions by which a handler is installed, and which the loader replaces to see that.
const SEEN: &[&str] = &["sigaction", "signal"];

/// Others, of which some C libraries have none.
const UNSEEN: &[&str] = &["bsd_signal", "sigset", "sysv_signal", "__sysv_signal"];

/// Whether a plugin has installed a handler by a function that the loader replaces.
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Whether a plugin with these imports may install handlers unseen.
///
/// `is_bound`: the loader replaces functions for it.
pub(super) fn may_be_unseen(is_bound: bool, is_imported: impl Fn(&str) -> bool) -> bool {
    let seen: &[&str] = if is_bound { &[] } else { SEEN };
    UNSEEN.iter().chain(seen).any(|function| is_imported(function))
}

/// `int sigaction(int, const struct sigaction *, struct sigaction *)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn sigaction(
    signal: c_int,
    new: *const libc::sigaction,
    old: *mut libc::sigaction,
) -> c_int {
    if !new.is_null() {
        INSTALLED.store(true, Ordering::Relaxed);
    }
    // SAFETY: the caller's promise.
    unsafe { libc::sigaction(signal, new, old) }
}

/// `sighandler_t signal(int, sighandler_t)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn signal(signal: c_int, handler: libc::sighandler_t) -> libc::sighandler_t {
    INSTALLED.store(true, Ordering::Relaxed);
    // SAFETY: the caller's promise.
    unsafe { libc::signal(signal, handler) }
}

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

/// Whether a signal is handled by code in a range of addresses. The system is asked for each signal, so only if a plugin may have installed
/// a handler: `unseen`, or seen.
pub(super) fn has_handler_in(span: &Range<usize>, unseen: bool) -> bool {
    (unseen || INSTALLED.load(Ordering::Relaxed))
        && (1..=libc::SIGRTMAX()).any(|signal| {
            // SAFETY: an all-zero action is a place for one.
            let action = unsafe {
                let mut action: libc::sigaction = mem::zeroed();
                libc::sigaction(signal, ptr::null(), &mut action);
                action
            };
            span.contains(&action.sa_sigaction)
        })
}
