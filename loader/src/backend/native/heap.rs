//! The heap of a VM: what `malloc`, `free` and their kin bind to in an image.
//!
//! Whose a block is, its address says: blocks of the C library, of this VM and of another one are each freed by their owner, whatever
//! function returned them. Threads that the plugin starts have no VM; they allocate from the C library.

use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};

use dynvm_heap::{Error, Heap};

use super::crash_cause::Cause;
use super::vm::Instance;
use super::{current_instance, door, process_exit};
use crate::error::FailureKind;

/// Functions by which a plugin allocates, C++'s `new` among them.
#[cfg(feature = "native")]
pub(super) const ALLOCATES: &[&str] =
    &["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign", "_Znwm", "_Znam"];

/// The instance that runs on this thread, and its heap.
#[inline]
fn current<'a>() -> Option<(&'a Instance, &'a Heap)> {
    // SAFETY: an instance lives for as long as it is current on this thread; no reference is kept beyond the call.
    let instance = unsafe { current_instance::get().as_ref() }?;
    Some((instance, instance.heap()?))
}

/// The same, to allocate: a plugin with hardly any stack left fails.
#[inline]
fn allocating<'a>() -> Option<(&'a Instance, &'a Heap)> {
    let (instance, heap) = current()?;
    door::check_stack(instance);
    Some((instance, heap))
}

/// The address, or null for a VM that may not have the memory or has damaged its heap: such a VM fails.
#[inline]
fn given(instance: &Instance, block: Result<NonNull<u8>, Error>) -> *mut c_void {
    match block {
        Ok(block) => block.as_ptr().cast(),
        Err(error) => refuse(instance, error),
    }
}

#[cold]
fn refuse(instance: &Instance, error: Error) -> *mut c_void {
    let (cause, kind) = match error {
        Error::Limit => (Cause::MemoryLimit, FailureKind::Limit),
        Error::Corrupt(defect) => (Cause::HeapDefect(defect), FailureKind::Trap),
        Error::NoMemory | Error::NotOurs => return ptr::null_mut(),
    };
    if instance.frame.is_entered() && !instance.in_host.get() {
        // SAFETY: the plugin called; there is nothing here to drop.
        unsafe { process_exit::leave(instance, cause) }
    }
    instance.state().fail_with(kind, cause.describe());
    ptr::null_mut()
}

/// `void *malloc(size_t)`
pub(super) extern "C" fn malloc(size: usize) -> *mut c_void {
    if let Some((instance, heap)) = current()
        && instance.has_stack()
        // SAFETY: the VM's thread alone uses the heap, unless it is shared.
        && let Some(block) = unsafe { heap.malloc_fast(size) }
    {
        return block.as_ptr().cast();
    }
    malloc_slowly(size)
}

#[cold]
#[inline(never)]
extern "C" fn malloc_slowly(size: usize) -> *mut c_void {
    match allocating() {
        // SAFETY: the VM's thread alone uses the heap, unless it is shared.
        Some((instance, heap)) => given(instance, unsafe { heap.malloc(size) }),
        // SAFETY: any size may be asked for.
        None => unsafe { libc::malloc(size) },
    }
}

/// `void *calloc(size_t, size_t)`
pub(super) extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    match allocating() {
        // SAFETY: as in `malloc`.
        Some((instance, heap)) => given(instance, unsafe { heap.calloc(count, size) }),
        // SAFETY: any size may be asked for.
        None => unsafe { libc::calloc(count, size) },
    }
}

/// `void free(void *)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn free(address: *mut c_void) {
    // SAFETY: the caller's promise; for the heap as in `malloc`.
    unsafe {
        if !current().is_some_and(|(_, heap)| heap.free_fast(address.cast())) {
            free_slowly(address);
        }
    }
}

/// # Safety
///
/// As `free`.
#[cold]
#[inline(never)]
unsafe extern "C" fn free_slowly(address: *mut c_void) {
    if address.is_null() {
        return;
    }
    // SAFETY: the caller's promise; for the heap as in `malloc`.
    unsafe {
        let current = current();
        let freed = match current {
            Some((_, heap)) => heap.free(address.cast()),
            None => dynvm_heap::free(address.cast()),
        };
        match (freed, current) {
            (Ok(()), _) => {}
            (Err(Error::NotOurs), _) => libc::free(address),
            (Err(error), Some((instance, _))) => {
                refuse(instance, error);
            }
            // A block of a VM that has ended: its memory is free already. There is no VM to report a defect to.
            (Err(_), None) => {}
        }
    }
}

/// `void *realloc(void *, size_t)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn realloc(address: *mut c_void, size: usize) -> *mut c_void {
    let foreign = !address.is_null() && dynvm_heap::owner(address.cast()).is_none();
    // SAFETY: the caller's promise; for the heap as in `malloc`.
    unsafe {
        match allocating() {
            Some((instance, heap)) if !foreign => {
                if size == 0 && !address.is_null() {
                    free(address);
                    return ptr::null_mut();
                }
                given(instance, heap.realloc(address.cast(), size))
            }
            None if !foreign && !address.is_null() => move_to_libc(address, size),
            _ => libc::realloc(address, size),
        }
    }
}

/// Resizes a block of a VM for a thread that has none.
///
/// # Safety
///
/// As `realloc`.
unsafe fn move_to_libc(address: *mut c_void, size: usize) -> *mut c_void {
    let Ok(old) = dynvm_heap::usable_size(address.cast()) else { return ptr::null_mut() };
    // SAFETY: the caller's promise. Both blocks are as long as is copied.
    unsafe {
        let new = libc::malloc(size);
        if !new.is_null() {
            new.copy_from_nonoverlapping(address, old.min(size));
            free(address);
        }
        new
    }
}

/// `void *reallocarray(void *, size_t, size_t)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn reallocarray(address: *mut c_void, count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: the caller's promise.
        Some(size) => unsafe { realloc(address, size) },
        None => {
            // SAFETY: this thread's own.
            unsafe { *libc::__errno_location() = libc::ENOMEM };
            ptr::null_mut()
        }
    }
}

/// `int posix_memalign(void **, size_t, size_t)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn posix_memalign(out: *mut *mut c_void, alignment: usize, size: usize) -> c_int {
    if !alignment.is_power_of_two() || !alignment.is_multiple_of(size_of::<usize>()) {
        return libc::EINVAL;
    }
    let address = aligned_alloc(alignment, size);
    if address.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: the caller's promise.
    unsafe { out.write(address) };
    0
}

/// `void *aligned_alloc(size_t, size_t)`, `void *memalign(size_t, size_t)`
pub(super) extern "C" fn aligned_alloc(alignment: usize, size: usize) -> *mut c_void {
    match allocating() {
        Some((instance, heap)) => {
            // As glibc, which takes the next power of two.
            let Some(alignment) = alignment.checked_next_power_of_two() else { return ptr::null_mut() };
            // SAFETY: as in `malloc`.
            given(instance, unsafe { heap.memalign(alignment, size) })
        }
        // SAFETY: any size may be asked for.
        None => unsafe { libc::memalign(alignment, size) },
    }
}

/// `void *valloc(size_t)`, `void *pvalloc(size_t)`
pub(super) extern "C" fn valloc(size: usize) -> *mut c_void {
    // SAFETY: takes a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    aligned_alloc(page, size.checked_next_multiple_of(page).unwrap_or(usize::MAX))
}

/// `size_t malloc_usable_size(void *)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn usable_size(address: *mut c_void) -> usize {
    if address.is_null() {
        return 0;
    }
    match dynvm_heap::usable_size(address.cast()) {
        Ok(size) => size,
        // SAFETY: the caller's promise.
        Err(Error::NotOurs) => unsafe { libc::malloc_usable_size(address) },
        Err(_) => 0,
    }
}

/// Memory that a plugin's `free` takes, for plugins that export no allocator.
pub(super) fn allocate(instance: &Instance, size: usize) -> *mut u8 {
    match instance.heap() {
        // SAFETY: as in `malloc`.
        Some(heap) => given(instance, unsafe { heap.malloc(size) }).cast(),
        // SAFETY: any size may be asked for.
        None => unsafe { libc::malloc(size) }.cast(),
    }
}
