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
struct Seat(RefCell<Option<Rc<Saved>>>);

/// The variables of a VM while they are not in place.
struct Saved {
    bytes: RefCell<Box<[u8]>>,
    /// Calls of the VM that are under way.
    calls: Cell<usize>,
}

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
                saved: Rc::new(Saved { bytes: RefCell::new(initial.into()), calls: Cell::new(0) }),
            })
        }))
    }

    /// Makes a call with the variables in the thread's block.
    pub(crate) fn run<R>(&self, call: impl FnOnce() -> R) -> R {
        let Some(private) = &self.0 else { return call() };
        let calls = &private.saved.calls;
        let before = private.put_in_place(&private.saved);
        calls.set(calls.get() + 1);
        let returned = call();
        calls.set(calls.get() - 1);
        if let Some(before) = before.filter(|before| before.calls.get() > 0) {
            private.put_in_place(&before);
        }
        returned
    }
}

impl Private {
    /// Puts a VM's variables in the block. Returns those of another VM that were there.
    fn put_in_place(&self, new: &Rc<Saved>) -> Option<Rc<Saved>> {
        let mut owner = self.seat.0.borrow_mut();
        if owner.as_ref().is_some_and(|owner| Rc::ptr_eq(owner, new)) {
            return None;
        }
        if let Some(owner) = &*owner {
            let mut saved = owner.bytes.borrow_mut();
            // SAFETY: the block has the size of what is saved of it. Only code of the plugin on this thread refers to it, and none runs.
            unsafe { ptr::copy_nonoverlapping(self.block, saved.as_mut_ptr(), saved.len()) };
        }
        let saved = new.bytes.borrow();
        // SAFETY: as above.
        unsafe { ptr::copy_nonoverlapping(saved.as_ptr(), self.block, saved.len()) };
        owner.replace(new.clone())
    }
}

impl Drop for PrivateThreadLocals {
    fn drop(&mut self) {
        let Some(private) = self.0.as_mut().filter(|private| private.thread == thread::current().id()) else { return };
        // Nobody needs them any more.
        private.seat.0.borrow_mut().take_if(|owner| Rc::ptr_eq(owner, &private.saved));
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
