//! Blocks of thread-local variables for threads other than the image's own.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ffi::c_void;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{IS_CONTROL, Index, Owner, thread_pointer};

/// What finds the block of a thread. It lies in the image; the code in `x86_64.rs` and `aarch64.rs` knows its first two words.
#[repr(C)]
pub(crate) struct Control {
    /// The thread pointer of the thread that uses the image's own block; 0: none does.
    owner: usize,
    /// The image's own block.
    block: usize,
    /// Names the mapping: another one may come to lie at the same address.
    id: usize,
    initial: usize,
    initial_size: usize,
    size: usize,
    align: usize,
}

impl Control {
    pub(crate) const SIZE: u64 = size_of::<Control>() as u64;

    pub(crate) fn new(owner: Owner, block: usize, initial: usize, initial_size: usize, layout: Layout) -> Control {
        static IDS: AtomicUsize = AtomicUsize::new(1);
        Control {
            owner: if owner == Owner::Threads { thread_pointer() } else { 0 },
            block,
            id: IDS.fetch_add(1, Ordering::Relaxed),
            initial,
            initial_size,
            size: layout.size(),
            align: layout.align(),
        }
    }
}

/// The blocks of one thread.
#[derive(Default)]
struct Blocks {
    /// The mapping's name, the block, and how it was allocated.
    blocks: Vec<(usize, *mut u8, Layout)>,
    /// How often the thread's end has come by.
    rounds: usize,
}

impl Drop for Blocks {
    fn drop(&mut self) {
        for (_, block, layout) in self.blocks.drain(..) {
            // SAFETY: allocated with this layout; the thread has ended.
            unsafe { dealloc(block, layout) }
        }
    }
}

/// The address of a variable on this thread.
///
/// # Safety
///
/// The index is one of an image that is mapped, and its module is a [`Control`].
pub(super) unsafe extern "C" fn address_in_thread(index: *const Index) -> usize {
    // SAFETY: the caller's promise.
    let (control, offset) = unsafe { (&*(((*index).module & !IS_CONTROL) as *const Control), (*index).offset) };
    block(control).wrapping_add(offset)
}

fn block(control: &Control) -> usize {
    let key = key();
    // SAFETY: the key exists. Its value is null or a `Blocks` of this thread, which nobody else refers to.
    let mut blocks = unsafe { libc::pthread_getspecific(key) }.cast::<Blocks>();
    if blocks.is_null() {
        blocks = Box::into_raw(Box::default());
        // SAFETY: as above.
        unsafe { libc::pthread_setspecific(key, blocks.cast()) };
    }
    // SAFETY: as above.
    let blocks = unsafe { &mut (*blocks).blocks };
    if let Some((_, block, _)) = blocks.iter().find(|(id, ..)| *id == control.id) {
        return *block as usize;
    }
    let layout = Layout::from_size_align(control.size.max(1), control.align).expect("checked when the file was read");
    // SAFETY: the layout is not empty. The initial values are mapped with the image, and no longer than the block.
    unsafe {
        let block = alloc(layout);
        if block.is_null() {
            handle_alloc_error(layout);
        }
        block.copy_from_nonoverlapping(control.initial as *const u8, control.initial_size);
        block.add(control.initial_size).write_bytes(0, control.size - control.initial_size);
        blocks.push((control.id, block, layout));
        block as usize
    }
}

fn key() -> libc::pthread_key_t {
    static KEY: OnceLock<libc::pthread_key_t> = OnceLock::new();
    *KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: writes the key.
        let result = unsafe { libc::pthread_key_create(&mut key, Some(end)) };
        assert_eq!(result, 0, "the process has no key for thread-specific data left");
        key
    })
}

/// Frees the blocks of a thread that ends, in the last round of destructors: those of the image may still use them.
unsafe extern "C" fn end(value: *mut c_void) {
    /// `PTHREAD_DESTRUCTOR_ITERATIONS`
    const ROUNDS: usize = 4;
    // SAFETY: the key's value, which is set to null while destructors run.
    unsafe {
        let blocks = value.cast::<Blocks>();
        (*blocks).rounds += 1;
        if (*blocks).rounds < ROUNDS {
            libc::pthread_setspecific(key(), value);
        } else {
            drop(Box::from_raw(blocks));
        }
    }
}
