//! Which VM runs on this thread: what a hostcall, an allocation or a crash belongs to.

use std::cell::Cell;
use std::ptr;

use super::vm::Instance;

thread_local! {
    // Constant and without a destructor, so that reading it is one instruction and safe in a signal handler.
    static CURRENT: Cell<*const Instance> = const { Cell::new(ptr::null()) };
}

/// The running instance, or null.
#[inline]
pub(super) fn get() -> *const Instance {
    CURRENT.get()
}

/// Makes an instance the running one, with its thread-local variables in place, until the guard is dropped.
#[inline]
pub(super) fn enter(instance: &Instance) -> Entered<'_> {
    #[cfg(feature = "null")]
    instance.thread_locals.put_in_place();
    Entered { previous: CURRENT.replace(instance), _instance: instance }
}

/// Puts the previous instance back when dropped.
pub(super) struct Entered<'a> {
    previous: *const Instance,
    _instance: &'a Instance,
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        CURRENT.set(self.previous);
        // It may be a VM of the same linked plugin, in a hostcall.
        // SAFETY: the guard of the previous instance is on this stack.
        #[cfg(feature = "null")]
        if let Some(previous) = unsafe { self.previous.as_ref() } {
            previous.thread_locals.put_in_place();
        }
    }
}
