//! Thread-local storage of images.
//!
//! A VM runs on one thread at a time, so its thread-local variables are one block, which lies in its image: what the compilers call a module's
//! number is the block's address, and a VM takes its variables along when it moves to another thread.
//!
//! An image that starts threads, and a runtime that all threads share, keep a block for each thread: the image's own block is for the thread
//! that mapped it, every other thread gets a copy of the initial values when it first asks.

#[cfg(target_arch = "aarch64")]
#[path = "aarch64.rs"]
mod machine;
#[cfg(target_arch = "x86_64")]
#[path = "x86_64.rs"]
mod machine;
mod threads;

pub(crate) use machine::thread_pointer;
pub(crate) use threads::Control;

/// Where code looks for a variable: what `__tls_get_addr` is passed, and what a descriptor has as its argument where threads have blocks of
/// their own.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Index {
    /// The address of the block; with blocks for each thread, of the [`Control`].
    module: usize,
    offset: usize,
}

/// Marks the address of a [`Control`] where code expects that of a block.
const IS_CONTROL: usize = 1;

impl Index {
    /// For a variable of a library that has a block for each thread.
    pub(crate) fn of_thread(control: u64, offset: u64) -> Index {
        Index { module: control as usize, offset: offset as usize }
    }
}

/// Who has a block of thread-local variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The image: one block, on whatever thread it runs.
    Image,
    /// Each thread. The thread that maps the image uses the image's block.
    Threads,
    /// Each thread, without exception.
    OtherThreads,
}

impl Owner {
    /// The module of a variable of a library that has a block for each thread, for code of an image with this owner.
    pub(crate) fn module_of_thread(self, control: u64) -> u64 {
        match self {
            Owner::Image => control | IS_CONTROL as u64,
            Owner::Threads | Owner::OtherThreads => control,
        }
    }

    /// The function of descriptors of variables of a library that has a block for each thread.
    pub(crate) fn descriptor_of_thread() -> usize {
        machine::descriptor_of_thread as *const () as usize
    }

    /// What `__tls_get_addr` is bound to.
    pub(crate) fn get_address(self) -> usize {
        match self {
            Owner::Image => machine::get_address as *const () as usize,
            Owner::Threads | Owner::OtherThreads => machine::get_address_of_thread as *const () as usize,
        }
    }

    /// The function of descriptors.
    pub(crate) fn descriptor(self) -> usize {
        match self {
            Owner::Image => machine::descriptor as *const () as usize,
            Owner::Threads | Owner::OtherThreads => Owner::descriptor_of_thread(),
        }
    }
}
