//! The memory of a VM: its image and its heap, given up together when nothing runs in them or refers to them any more.

use std::mem::ManuallyDrop;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use dynvm_heap::Heap;
#[cfg(feature = "native")]
use dynvm_image::Image;

#[cfg(feature = "null")]
use super::linked::LinkedCopy;
use super::plugin_signals::has_handler_in;
#[cfg(feature = "native")]
use super::system_loader::SystemImage;

/// Held by the VM, and by each thread that the plugin started.
pub(super) struct Mapping {
    image: ManuallyDrop<Mapped>,
    heap: ManuallyDrop<Option<Heap>>,
    leaves: Leaves,
    /// The VM ended without a failure, after its destructors.
    ended_well: AtomicBool,
}

/// An image, by who mapped it.
pub(super) enum Mapped {
    #[cfg(feature = "native")]
    Image(Image),
    #[cfg(feature = "native")]
    System(SystemImage),
    /// Part of the program.
    #[cfg(feature = "null")]
    Linked(LinkedCopy),
}

/// What a plugin may leave with others, by the functions that it imports.
#[derive(Clone, Copy)]
pub(super) struct Leaves {
    /// Its addresses, in ways that nobody follows.
    pub(super) addresses: bool,
    /// Handlers of signals, without the loader's knowledge.
    pub(super) unseen_handlers: bool,
}

impl Mapping {
    /// `heap`: `None` if the image allocates from the C library.
    pub(super) fn new(image: Mapped, heap: Option<Heap>, leaves: Leaves) -> Mapping {
        let (image, heap) = (ManuallyDrop::new(image), ManuallyDrop::new(heap));
        Mapping { image, heap, leaves, ended_well: AtomicBool::new(false) }
    }

    pub(super) fn image(&self) -> &Mapped {
        &self.image
    }

    #[inline]
    pub(super) fn heap(&self) -> Option<&Heap> {
        self.heap.as_ref()
    }

    /// Notes that nothing of the plugin was abandoned, so that the image can be closed as usual or used again.
    pub(super) fn set_ended_well(&self) {
        self.ended_well.store(true, Ordering::Relaxed);
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        #[cfg(feature = "native")]
        let ended_well = self.ended_well.load(Ordering::Relaxed);
        // SAFETY: neither is used after this.
        let (image, heap) = unsafe { (ManuallyDrop::take(&mut self.image), ManuallyDrop::take(&mut self.heap)) };
        if self.leaves.addresses || has_handler_in(&image.span(), self.leaves.unseen_handlers) {
            image.leak();
            heap.map(Heap::leak);
            return;
        }
        match image {
            #[cfg(feature = "native")]
            Mapped::Image(image) if ended_well => image.retire(),
            // The system's loader would run destructors, in whatever state a crash left their objects.
            #[cfg(feature = "native")]
            Mapped::System(image) if !ended_well => image.leak(),
            image => drop(image),
        }
        // After the image, which refers to it.
        drop(heap);
    }
}

impl Mapped {
    /// What the addresses of its exports are relative to.
    pub(super) fn base(&self) -> usize {
        match self {
            #[cfg(feature = "native")]
            Mapped::Image(image) => image.base(),
            #[cfg(feature = "native")]
            Mapped::System(image) => image.base(),
            #[cfg(feature = "null")]
            Mapped::Linked(_) => 0,
        }
    }

    /// Whether it is a part of the program.
    pub(super) fn is_linked(&self) -> bool {
        match self {
            #[cfg(feature = "null")]
            Mapped::Linked(_) => true,
            #[cfg(feature = "native")]
            _ => false,
        }
    }

    /// The addresses that it takes; of a part of the program, those of its code.
    pub(super) fn span(&self) -> Range<usize> {
        match self {
            #[cfg(feature = "native")]
            Mapped::Image(image) => image.span(),
            #[cfg(feature = "native")]
            Mapped::System(image) => image.span(),
            #[cfg(feature = "null")]
            Mapped::Linked(copy) => copy.span(),
        }
    }

    /// What addresses in messages are relative to: as in the image's file, or the program's.
    pub(super) fn origin(&self) -> usize {
        match self {
            #[cfg(feature = "null")]
            Mapped::Linked(copy) => copy.base_of_program(),
            #[cfg(feature = "native")]
            _ => self.span().start,
        }
    }

    /// The thread-local variables of a VM on this thread, if the system does not keep them apart.
    #[cfg(feature = "null")]
    pub(super) fn thread_locals(&self) -> super::linked::PrivateThreadLocals {
        match self {
            Mapped::Linked(copy) => copy.thread_locals(),
            #[cfg(feature = "native")]
            _ => super::linked::PrivateThreadLocals::default(),
        }
    }

    /// Whether other VMs use its statics.
    pub(super) fn shares_statics(&self) -> bool {
        match self {
            #[cfg(feature = "native")]
            Mapped::Image(_) | Mapped::System(_) => false,
            #[cfg(feature = "null")]
            Mapped::Linked(copy) => copy.is_shared(),
        }
    }

    /// Runs its constructors.
    pub(super) fn initialize<E>(&self, call: &mut dyn FnMut(usize, [u64; 5]) -> Result<u64, E>) -> Result<(), E> {
        match self {
            #[cfg(feature = "native")]
            Mapped::Image(image) => image.initialize(call),
            // The system's loader has.
            #[cfg(feature = "native")]
            Mapped::System(_) => Ok(()),
            #[cfg(feature = "null")]
            Mapped::Linked(copy) => copy.initialize(call),
        }
    }

    /// Runs its destructors.
    pub(super) fn finalize<E>(&self, call: &mut dyn FnMut(usize, [u64; 5]) -> Result<u64, E>) -> Result<(), E> {
        match self {
            #[cfg(feature = "native")]
            Mapped::Image(image) => image.finalize(call),
            // The system's loader will.
            #[cfg(feature = "native")]
            Mapped::System(_) => Ok(()),
            #[cfg(feature = "null")]
            Mapped::Linked(copy) => copy.finalize(call),
        }
    }

    fn leak(self) {
        match self {
            #[cfg(feature = "native")]
            Mapped::Image(image) => image.leak(),
            #[cfg(feature = "native")]
            Mapped::System(image) => image.leak(),
            #[cfg(feature = "null")]
            Mapped::Linked(copy) => std::mem::forget(copy),
        }
    }
}
