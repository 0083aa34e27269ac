//! Gives each VM private variables, although the code that uses them exists once.
//!
//! A thread has one block of a slot's thread-local variables, a *seat*. A VM that is called while another sits there saves the other's
//! variables and puts its own in place; if the other is in a hostcall, its are put back after the call. So a VM stays on its thread, whose
//! addresses the plugin and the C library know; one that ends on another thread leaves its variables there.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::ptr;
use std::rc::Rc;
use std::thread::{self, ThreadId};

use dynvm_abi::linked::{Slot, ThreadLocals};

thread_local! {
    /// This thread's seats, by the address of the slot.
    static SEATS: RefCell<HashMap<usize, Rc<Seat>>> = RefCell::default();
}

/// Whose variables are in place.
#[derive(Default)]
struct Seat(Cell<Option<Rc<Saved>>>);

/// The variables of a VM while they are not in place.
type Saved = RefCell<Box<[u8]>>;

/// The thread-local variables of a VM.
#[derive(Default)]
pub(crate) struct PrivateThreadLocals(Option<ManuallyDrop<Private>>);

struct Private {
    thread: ThreadId,
    /// This thread's block.
    block: *mut u8,
    seat: Rc<Seat>,
    saved: Rc<Saved>,
}

/// The variables that were in place before others were put there. Kept, as their VM may end in the meantime.
pub(crate) struct Before(Option<Rc<Saved>>);

impl PrivateThreadLocals {
    /// New variables on this thread, with their initial values.
    pub(crate) fn new(slot: &'static Slot) -> PrivateThreadLocals {
        PrivateThreadLocals(slot.thread_locals.map(|ThreadLocals { block, initial, size }| {
            // SAFETY: the descriptor's initial values, a constant of this size.
            let initial = unsafe { std::slice::from_raw_parts(initial, size) };
            let seats =
                |seats: &mut HashMap<_, Rc<Seat>>| seats.entry(ptr::from_ref(slot) as usize).or_default().clone();
            ManuallyDrop::new(Private {
                thread: thread::current().id(),
                block: block(),
                seat: SEATS.with_borrow_mut(seats),
                saved: Rc::new(RefCell::new(initial.into())),
            })
        }))
    }

    /// Whether the thread's block has these variables.
    #[inline]
    pub(crate) fn are_in_place(&self) -> bool {
        self.0.as_ref().is_none_or(|private| private.seat.is_of(&private.saved))
    }

    /// Puts them in the thread's block, unless they are there.
    pub(crate) fn put_in_place(&self) -> Before {
        let elsewhere = self.0.as_ref().filter(|private| !private.seat.is_of(&private.saved));
        Before(elsewhere.and_then(|private| private.exchange(private.saved.clone())))
    }

    /// Puts those back that were there before.
    pub(crate) fn put_back(&self, before: Before) {
        if let (Some(private), Some(before)) = (&self.0, before.0) {
            private.exchange(before);
        }
    }
}

impl Seat {
    #[inline]
    fn is_of(&self, saved: &Rc<Saved>) -> bool {
        // SAFETY: the value is on this thread, and nothing replaces it while it is compared.
        unsafe { &*self.0.as_ptr() }.as_ref().is_some_and(|owner| Rc::ptr_eq(owner, saved))
    }
}

impl Private {
    /// Exchanges the variables in the block for others. Returns those that were there.
    fn exchange(&self, new: Rc<Saved>) -> Option<Rc<Saved>> {
        let before = self.seat.0.replace(Some(new.clone()));
        if let Some(before) = &before {
            let mut saved = before.borrow_mut();
            // SAFETY: the block has the size of what is saved of it. Only code of the plugin on this thread refers to it, and none runs.
            unsafe { ptr::copy_nonoverlapping(self.block, saved.as_mut_ptr(), saved.len()) };
        }
        let saved = new.borrow();
        // SAFETY: as above.
        unsafe { ptr::copy_nonoverlapping(saved.as_ptr(), self.block, saved.len()) };
        before
    }
}

impl Drop for PrivateThreadLocals {
    fn drop(&mut self) {
        let Some(private) = self.0.as_mut().filter(|private| private.thread == thread::current().id()) else { return };
        // Nobody needs them any more.
        if private.seat.is_of(&private.saved) {
            private.seat.0.set(None);
        }
        // SAFETY: nothing uses it after this.
        unsafe { ManuallyDrop::drop(private) };
    }
}

/// Sets a slot's statics back to what they were when the program started.
///
/// # Safety
///
/// No code of the slot runs, and none of its threads.
pub(super) unsafe fn reset_statics(slot: &Slot) {
    for variables in slot.statics {
        let block = variables.block.cast_mut();
        // SAFETY: the descriptor's variables and their initial values, of this size; nobody uses them.
        unsafe {
            if variables.initial.is_null() {
                ptr::write_bytes(block, 0, variables.size);
            } else {
                ptr::copy_nonoverlapping(variables.initial, block, variables.size);
            }
        }
    }
}
