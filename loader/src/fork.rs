//! Forks of the process. A child has only the thread that forked, so the threads which enforce limits are gone there.
//!
//! Who relies on a thread remembers the [`generation`] in which it was started, and starts it again when that changes.
//! Only `fork` counts: a child of `vfork`, `_fork` or a bare `clone` is expected to call `exec`.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

static GENERATION: AtomicU32 = AtomicU32::new(0);

/// A number that differs between a process and its children, from the first call of [`count`] on.
#[inline]
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Counts the forks that follow.
pub(crate) fn count() {
    extern "C" fn child() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
    // No lock: a fork on another thread meanwhile would leave it locked in the child.
    static COUNTING: AtomicBool = AtomicBool::new(false);
    if !COUNTING.swap(true, Ordering::Relaxed) {
        at_fork(None, None, Some(child));
    }
}

#[cfg(unix)]
type Handler = unsafe extern "C" fn();
#[cfg(not(unix))]
type Handler = extern "C" fn();

/// Has handlers run on the thread that forks: before, and after in the parent and in the child.
pub(crate) fn at_fork(before: Option<Handler>, parent: Option<Handler>, child: Option<Handler>) {
    #[cfg(unix)]
    // SAFETY: the handlers are functions of this library, which are removed with it.
    unsafe {
        libc::pthread_atfork(before, parent, child);
    }
    #[cfg(not(unix))]
    let _ = (before, parent, child);
}
