//! The locale of a thread, as a plugin changes it: a VM that has not restored it stays on the thread.

use std::cell::Cell;
use std::ptr;

use super::current_instance;

/// The locale that a VM found on its thread and has not restored; null: none.
#[derive(Default)]
pub(super) struct Replaced(Cell<usize>);

impl Replaced {
    pub(super) fn is_any(&self) -> bool {
        self.0.get() != 0
    }
}

/// `locale_t uselocale(locale_t)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn uselocale(new: libc::locale_t) -> libc::locale_t {
    // SAFETY: the caller's promise.
    let before = unsafe { libc::uselocale(new) };
    if !new.is_null()
        && !ptr::eq(before, new)
        // SAFETY: an instance lives for as long as it is current on this thread.
        && let Some(instance) = unsafe { current_instance::get().as_ref() }
    {
        let replaced = &instance.replaced_locale.0;
        match replaced.get() {
            0 => replaced.set(before as usize),
            first if first == new as usize => replaced.set(0),
            _ => {}
        }
    }
    before
}
