//! Forks of the process.
//!
//! A child process has only the thread that called `fork`, so the threads that enforce limits are
//! gone there. Code that depends on a thread stores the [`generation`] in which the thread was
//! started, and starts it again when the generation changes. Only `fork` counts: a child of
//! `vfork`, `_fork` or a bare `clone` is expected to call `exec`.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

pub(crate) static GENERATION: AtomicU32 = AtomicU32::new(0);

/// A number that differs between a process and its children, once [`count`] has been called.
#[inline]
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Starts counting forks. Later calls do nothing.
pub(crate) fn count() {
    extern "C" fn child() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
    // An atomic and not a lock, because a fork on another thread would leave a lock held in the
    // child.
    static COUNTING: AtomicBool = AtomicBool::new(false);
    if !COUNTING.swap(true, Ordering::Relaxed) {
        at_fork(None, None, Some(child));
    }
}

#[cfg(unix)]
type Handler = unsafe extern "C" fn();
#[cfg(not(unix))]
type Handler = extern "C" fn();

/// Registers handlers that run on the forking thread: before the fork, and after it in the parent
/// and in the child.
pub(crate) fn at_fork(before: Option<Handler>, parent: Option<Handler>, child: Option<Handler>) {
    #[cfg(unix)]
    // SAFETY: the handlers are functions of this library, which are removed with it.
    unsafe {
        libc::pthread_atfork(before, parent, child);
    }
    #[cfg(not(unix))]
    let _ = (before, parent, child);
}
