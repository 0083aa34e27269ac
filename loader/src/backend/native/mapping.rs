//! The memory of a VM: its image and its heap, given up together when nothing runs in them or refers to them any more.

use std::collections::BTreeSet;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use dynvm_heap::Heap;
use dynvm_image::Image;

use super::plugin_signals::{INSTALL_HANDLERS, has_handler_in};
use super::system_loader::SystemImage;

/// Held by the VM, and by each thread that the plugin started.
pub(super) struct Mapping {
    image: ManuallyDrop<Mapped>,
    heap: ManuallyDrop<Option<Heap>>,
    /// The plugin can leave its addresses with others in ways that nobody follows.
    is_referred_to: bool,
    /// The plugin can install handlers of signals.
    installs_handlers: bool,
    /// The VM ended without a failure, after its destructors.
    ended_well: AtomicBool,
}

/// An image, by who mapped it.
pub(super) enum Mapped {
    Image(Image),
    System(SystemImage),
}

/// Functions of the C library by which a plugin leaves its addresses with others, beyond those that the loader follows.
const KEEP_REFERENCES: &[&str] = &[
    "fopencookie",
    "makecontext",
    "mq_notify",
    "openlog",
    "pthread_atfork",
    "register_printf_function",
    "register_printf_specifier",
    "setvbuf",
    "setbuf",
    "setbuffer",
    "timer_create",
];

impl Mapping {
    /// `heap`: `None` if the image allocates from the C library.
    pub(super) fn new(image: Mapped, heap: Option<Heap>, imports: &BTreeSet<String>) -> Mapping {
        let does_import = |functions: &[&str]| functions.iter().any(|function| imports.contains(*function));
        Mapping {
            image: ManuallyDrop::new(image),
            heap: ManuallyDrop::new(heap),
            is_referred_to: does_import(KEEP_REFERENCES),
            installs_handlers: does_import(INSTALL_HANDLERS),
            ended_well: AtomicBool::new(false),
        }
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
        let ended_well = self.ended_well.load(Ordering::Relaxed);
        // SAFETY: neither is used after this.
        let (image, heap) = unsafe { (ManuallyDrop::take(&mut self.image), ManuallyDrop::take(&mut self.heap)) };
        if self.is_referred_to || self.installs_handlers && has_handler_in(&image.span()) {
            image.leak();
            heap.map(Heap::leak);
            return;
        }
        match image {
            Mapped::Image(image) if ended_well => image.retire(),
            // The system's loader would run destructors, in whatever state a crash left their objects.
            Mapped::System(image) if !ended_well => image.leak(),
            image => drop(image),
        }
        // After the image, which refers to it.
        drop(heap);
    }
}

impl Mapped {
    pub(super) fn base(&self) -> usize {
        match self {
            Mapped::Image(image) => image.base(),
            Mapped::System(image) => image.base(),
        }
    }

    pub(super) fn span(&self) -> Range<usize> {
        match self {
            Mapped::Image(image) => image.span(),
            Mapped::System(image) => image.span(),
        }
    }

    fn leak(self) {
        match self {
            Mapped::Image(image) => image.leak(),
            Mapped::System(image) => image.leak(),
        }
    }
}
