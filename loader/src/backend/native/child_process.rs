//! Child processes that a plugin forks: they end as the plugin says, and never return to the host.
//!
//! A child has the host's sockets, logs and memory. Were it to leave the guarded call as its parent does, it would go on as a second
//! host. `fork` marks the calls under way on its thread; a child of `vfork` or `clone`, which shares that mark or does not run it, is
//! known by its process id.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use super::current_instance;
use super::vm::Instance;
use crate::fork;

/// The process that runs VMs.
static PROCESS: AtomicI32 = AtomicI32::new(0);

/// Starts watching for forks. Later calls do nothing.
pub(super) fn watch() {
    extern "C" fn child() {
        PROCESS.store(process(), Ordering::Relaxed);
        // SAFETY: an instance lives for as long as it is current on this thread, which is the one that forked.
        if let Some(instance) = unsafe { current_instance::get().as_ref() }
            && instance.frame.is_entered()
            && !instance.in_host.get()
        {
            instance.mark_forked();
        }
    }
    static WATCHING: AtomicBool = AtomicBool::new(false);
    if !WATCHING.swap(true, Ordering::Relaxed) {
        PROCESS.store(process(), Ordering::Relaxed);
        fork::count();
        fork::at_fork(None, None, Some(child));
    }
}

/// Whether this is a child that a plugin forked, inside of a guarded call that is under way.
pub(super) fn is_of(instance: &Instance) -> bool {
    instance.frame.is_forked() || PROCESS.load(Ordering::Relaxed) != process()
}

/// Asks the system: the C library may be another process's, as after `vfork`.
fn process() -> i32 {
    // SAFETY: takes nothing.
    unsafe { libc::syscall(libc::SYS_getpid) as i32 }
}

/// Ends this process at once, without any of its exit handlers.
pub(super) fn exit(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// Ends this process by a signal's default action, whatever handles or blocks it.
pub(super) fn die_of(signal: i32) -> ! {
    // SAFETY: all-zero actions and sets are valid; the rest are system calls.
    unsafe {
        let mut default: libc::sigaction = std::mem::zeroed();
        default.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(signal, &default, std::ptr::null_mut());
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&mut set, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
        libc::syscall(libc::SYS_tgkill, process(), libc::syscall(libc::SYS_gettid), signal);
    }
    // Only if the signal's default action is another.
    exit(128 + signal)
}

/// `pid_t vfork(void)`: a child that shares the stack of a guarded call could damage it, so it gets a copy.
pub(super) extern "C" fn vfork() -> libc::pid_t {
    // SAFETY: the plugin decides what its child does.
    unsafe { libc::fork() }
}

/// Ends a child whose callback returned, before it goes on as if it were the host.
pub(super) fn has_returned() -> ! {
    const MESSAGE: &[u8] = b"dynvm: a child process that a plugin forked returned from its callback, and ends here\n";
    // SAFETY: writes a constant.
    unsafe { libc::write(2, MESSAGE.as_ptr().cast(), MESSAGE.len()) };
    exit(1)
}
