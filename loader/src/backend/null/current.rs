//! Which VM runs on this thread.

use std::cell::Cell;
use std::ptr;

use super::vm::Running;

thread_local! {
    static CURRENT: Cell<*const Running> = const { Cell::new(ptr::null()) };
}

/// Calls a function with the running VM; `None` on threads of plugins.
pub(super) fn with<R>(f: impl FnOnce(Option<&Running>) -> R) -> R {
    // SAFETY: `enter` put it there, and borrows it until it is removed.
    f(unsafe { CURRENT.get().as_ref() })
}

/// Makes a VM the running one, with its thread-local variables in place, until the guard is dropped.
pub(super) fn enter(running: &Running) -> Entered<'_> {
    running.thread_locals.put_in_place();
    Entered { previous: CURRENT.replace(running), _running: running }
}

/// Puts the previous VM back when dropped.
pub(super) struct Entered<'a> {
    previous: *const Running,
    _running: &'a Running,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        CURRENT.set(self.previous);
        // SAFETY: as in `with`: the guard of the previous VM is on this stack.
        if let Some(previous) = unsafe { self.previous.as_ref() } {
            // It may be a VM of the same plugin, in a hostcall.
            previous.thread_locals.put_in_place();
        }
    }
}
