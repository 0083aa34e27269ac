//! The heap of a VM: what `malloc`, `free` and the rest of an image bind to, where the image was edited for it.
//!
//! It is mimalloc's, one heap for each VM: it knows how much the VM holds, keeps to a limit, and is freed whole when the VM ends, whatever a
//! crash left behind. The C library, and others, may hand memory of their own to a plugin, to be freed by it (`strdup`): an image that
//! imports such a function frees through [`free_any`], which looks whose an address is; all others free through [`free`], which need not.
//!
//! Threads that a plugin starts have no VM; they allocate from mimalloc's common heap, which nobody counts.

#[cfg(feature = "heap")]
mod functions {
    use std::cell::Cell;
    use std::ffi::{c_char, c_void};
    use std::ptr;
    use std::sync::{Arc, Mutex, PoisonError};
    use std::thread::ThreadId;

    use libmimalloc_sys as mi;

    use super::super::crash_cause::Cause;
    use super::super::{current_instance, door, process_exit};
    use crate::error::FailureKind;

    /// The heap of one VM. Freed whole when dropped: at once on its own thread, which alone may, else when that thread next makes one.
    pub(in super::super) struct Heap {
        heap: *mut mi::mi_heap_t,
        thread: ThreadId,
        /// Where its thread finds it, should it be dropped on another.
        left: Arc<Left>,
        limit: usize,
        /// Bytes that may be allocated before it has to be counted how many are.
        credit: Cell<usize>,
    }

    /// Heaps of one thread that were dropped on others. When the thread ends, mimalloc takes their memory back.
    #[derive(Default)]
    struct Left(Mutex<Vec<Destroy>>);

    /// A heap that nobody uses any more.
    struct Destroy(*mut mi::mi_heap_t);

    // SAFETY: only its own thread does more than to keep the address.
    unsafe impl Send for Destroy {}

    thread_local! {
        static LEFT: Arc<Left> = Arc::default();
    }

    impl Left {
        /// Those of this thread, freed.
        fn collected() -> Arc<Left> {
            // At the thread's end there may be no list any more: what is left then, stays.
            let left = LEFT.try_with(Arc::clone).unwrap_or_default();
            for Destroy(heap) in std::mem::take(&mut *left.0.lock().unwrap_or_else(PoisonError::into_inner)) {
                // SAFETY: it belongs to this thread, and nobody refers to what is in it.
                unsafe { mi::mi_heap_destroy(heap) }
            }
            left
        }
    }

    /// The least credit that is given, so that a plugin near its limit is not counted at each allocation. The limit is kept to within this.
    const LEAST_CREDIT: usize = 64 * 1024;

    impl Heap {
        /// A new one, for at most `limit` bytes. `None`: there is no memory for it.
        pub(in super::super) fn new(limit: Option<usize>) -> Option<Heap> {
            let left = Left::collected();
            // SAFETY: takes nothing.
            let heap = unsafe { mi::mi_heap_new() };
            let limit = limit.unwrap_or(usize::MAX);
            let thread = std::thread::current().id();
            (!heap.is_null()).then(|| Heap { heap, thread, left, limit, credit: Cell::new(limit) })
        }

        /// Bytes that are allocated. Takes a few nanoseconds for each 64 KiB of them.
        pub(in super::super) fn used(&self) -> usize {
            unsafe extern "C" fn add(
                _: *const mi::mi_heap_t,
                area: *const mi::mi_heap_area_t,
                _: *mut c_void,
                _: usize,
                sum: *mut c_void,
            ) -> bool {
                // SAFETY: mimalloc passes an area, and what it was given. `used` counts blocks.
                unsafe { *sum.cast::<usize>() += (*area).used * (*area).block_size };
                true
            }
            let mut sum = 0usize;
            // SAFETY: the heap is alive, and belongs to this thread.
            unsafe { mi::mi_heap_visit_blocks(self.heap, false, Some(add), (&raw mut sum).cast()) };
            sum
        }

        /// Gives the memory to the process's common heap instead of freeing it: for images of which something lives on.
        pub(in super::super) fn leak(self) {
            let heap = std::mem::ManuallyDrop::new(self);
            if heap.thread == std::thread::current().id() {
                // SAFETY: the heap is alive, belongs to this thread, and is not used after this.
                unsafe { mi::mi_heap_delete(heap.heap) }
            }
        }

        /// Whether so many bytes more may be allocated.
        #[inline]
        fn has_room(&self, size: usize) -> bool {
            match self.credit.get().checked_sub(size) {
                Some(left) => {
                    self.credit.set(left);
                    true
                }
                None => self.count(size),
            }
        }

        /// Counts what is allocated, for new credit.
        #[cold]
        fn count(&self, size: usize) -> bool {
            let Some(room) = self.limit.checked_sub(self.used()).filter(|room| size <= *room) else { return false };
            self.credit.set((room - size).max(LEAST_CREDIT));
            true
        }
    }

    impl Drop for Heap {
        fn drop(&mut self) {
            if self.thread == std::thread::current().id() {
                // SAFETY: nobody refers to what is in it: its image is closed, or never runs again.
                unsafe { mi::mi_heap_destroy(self.heap) }
            } else {
                self.left.0.lock().unwrap_or_else(PoisonError::into_inner).push(Destroy(self.heap));
            }
        }
    }

    /// Allocates: from the running VM's heap, if one runs on this thread and there is room.
    #[inline]
    fn allocate(
        size: usize,
        from: impl FnOnce(*mut mi::mi_heap_t) -> *mut c_void,
        common: impl FnOnce() -> *mut c_void,
    ) -> *mut c_void {
        // SAFETY: an instance lives for as long as it is current on this thread.
        let Some(instance) = (unsafe { current_instance::get().as_ref() }) else { return common() };
        door::check_stack(instance);
        let Some(heap) = &instance.heap else { return common() };
        if heap.has_room(size) { from(heap.heap) } else { refuse() }
    }

    /// Fails the running VM, which has reached its limit.
    #[cold]
    fn refuse() -> *mut c_void {
        // SAFETY: an instance lives for as long as it is current on this thread.
        if let Some(instance) = unsafe { current_instance::get().as_ref() } {
            if !instance.in_host.get() {
                // SAFETY: the plugin called; there is nothing here to drop.
                unsafe { process_exit::leave(instance, Cause::MemoryLimit) }
            }
            instance.state().fail_with(FailureKind::Limit, Cause::MemoryLimit.describe());
        }
        ptr::null_mut()
    }

    pub(in super::super) unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
        // SAFETY: any size may be asked for, and the heap is alive.
        unsafe { allocate(size, |heap| mi::mi_heap_malloc(heap, size), || mi::mi_malloc(size)) }
    }

    pub(in super::super) unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
        let total = count.saturating_mul(size);
        // SAFETY: as above; mimalloc refuses a product that overflows.
        unsafe { allocate(total, |heap| mi::mi_heap_calloc(heap, count, size), || mi::mi_calloc(count, size)) }
    }

    pub(in super::super) unsafe extern "C" fn free(address: *mut c_void) {
        // SAFETY: the plugin frees what it got from here.
        unsafe { mi::mi_free(address) }
    }

    pub(in super::super) unsafe extern "C" fn realloc(address: *mut c_void, size: usize) -> *mut c_void {
        // SAFETY: an instance lives for as long as it is current on this thread; the plugin resizes what it got from here.
        unsafe {
            let heap = current_instance::get().as_ref().and_then(|instance| instance.heap.as_ref());
            let Some(heap) = heap else { return mi::mi_realloc(address, size) };
            if heap.has_room(size) { mi::mi_heap_realloc(heap.heap, address, size) } else { refuse() }
        }
    }

    /// Whether an address is mimalloc's.
    fn owns(address: *const c_void) -> bool {
        // SAFETY: the address is only looked up.
        unsafe { mi::mi_is_in_heap_region(address) }
    }

    pub(in super::super) unsafe extern "C" fn free_any(address: *mut c_void) {
        if address.is_null() {
            return;
        }
        // SAFETY: the plugin frees what it got, from here or from the C library.
        unsafe { if owns(address) { mi::mi_free(address) } else { libc::free(address) } }
    }

    pub(in super::super) unsafe extern "C" fn realloc_any(address: *mut c_void, size: usize) -> *mut c_void {
        // SAFETY: the plugin resizes what it got, from here or from the C library.
        unsafe {
            if address.is_null() || owns(address) { realloc(address, size) } else { libc::realloc(address, size) }
        }
    }

    pub(in super::super) unsafe extern "C" fn posix_memalign(
        out: *mut *mut c_void,
        alignment: usize,
        size: usize,
    ) -> i32 {
        if !alignment.is_power_of_two() || !alignment.is_multiple_of(size_of::<usize>()) {
            return libc::EINVAL;
        }
        // SAFETY: the plugin passes a place for the address, as to the C library.
        unsafe {
            let address = aligned_alloc(alignment, size);
            if address.is_null() && size != 0 {
                return libc::ENOMEM;
            }
            out.write(address);
        }
        0
    }

    pub(in super::super) unsafe extern "C" fn aligned_alloc(alignment: usize, size: usize) -> *mut c_void {
        // SAFETY: any size may be asked for, and the heap is alive.
        unsafe {
            allocate(
                size,
                |heap| mi::mi_heap_malloc_aligned(heap, size, alignment),
                || mi::mi_malloc_aligned(size, alignment),
            )
        }
    }

    pub(in super::super) unsafe extern "C" fn usable_size(address: *mut c_void) -> usize {
        // SAFETY: the plugin asks about what it got, from here or from the C library.
        unsafe {
            if address.is_null() || owns(address) {
                mi::mi_usable_size(address)
            } else {
                libc::malloc_usable_size(address)
            }
        }
    }

    /// As the C library's, but a result that it allocates is the plugin's to free.
    pub(in super::super) unsafe extern "C" fn realpath(path: *const c_char, resolved: *mut c_char) -> *mut c_char {
        // SAFETY: the plugin's arguments are those that the C library wants.
        unsafe { adopt(libc::realpath(path, resolved), resolved) }
    }

    /// As the C library's, but a result that it allocates is the plugin's to free.
    pub(in super::super) unsafe extern "C" fn getcwd(buffer: *mut c_char, size: usize) -> *mut c_char {
        // SAFETY: the plugin's arguments are those that the C library wants.
        unsafe { adopt(libc::getcwd(buffer, size), buffer) }
    }

    /// Copies a string that the C library allocated, because the caller passed no buffer, to memory from here.
    ///
    /// # Safety
    ///
    /// `result` is null, `given`, or a string from the C library's `malloc`.
    unsafe fn adopt(result: *mut c_char, given: *mut c_char) -> *mut c_char {
        if result.is_null() || !given.is_null() {
            return result;
        }
        // SAFETY: the caller's promise.
        unsafe {
            let copy = malloc(libc::strlen(result) + 1).cast::<c_char>();
            if !copy.is_null() {
                libc::strcpy(copy, result);
            }
            libc::free(result.cast());
            copy
        }
    }
}

#[cfg(not(feature = "heap"))]
mod functions {
    //! Never bound to: without the feature no image is edited for them. The C library's own, so that the table has an entry.

    pub(in super::super) use libc::{
        aligned_alloc, calloc, free, free as free_any, getcwd, malloc, malloc_usable_size as usable_size,
        posix_memalign, realloc, realloc as realloc_any, realpath,
    };

    /// None is made without the feature.
    pub(in super::super) enum Heap {}

    impl Heap {
        pub(in super::super) fn new(_: Option<usize>) -> Option<Heap> {
            None
        }

        pub(in super::super) fn used(&self) -> usize {
            match *self {}
        }

        pub(in super::super) fn leak(self) {
            match self {}
        }
    }
}

pub(super) use functions::*;

/// Memory that a plugin's `free` takes, for plugins that export no allocator.
pub(super) fn allocate(edited: bool, size: usize) -> *mut u8 {
    // SAFETY: any size may be asked for.
    unsafe { if edited { malloc(size) } else { libc::malloc(size) }.cast() }
}
