//! The allocator of images: what their `malloc`, `free` and the rest bind to, where the image was edited for it.
//!
//! It is mimalloc. The C library, and others, may hand memory of their own to a plugin, to be freed by it (`strdup`). An image that imports
//! such a function frees through [`free_any`], which looks whose an address is; all others free through [`free`], which need not.

/// Memory that a plugin's `free` takes, for plugins that export no allocator.
pub(super) fn allocate(edited: bool, size: usize) -> *mut u8 {
    // SAFETY: any size may be asked for.
    unsafe { if edited { malloc(size) } else { libc::malloc(size) }.cast() }
}

#[cfg(feature = "heap")]
mod functions {
    use std::ffi::{c_char, c_void};

    use libmimalloc_sys as mi;

    pub(in super::super) unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
        // SAFETY: any size may be asked for.
        unsafe { mi::mi_malloc(size) }
    }

    pub(in super::super) unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
        // SAFETY: any size may be asked for.
        unsafe { mi::mi_calloc(count, size) }
    }

    pub(in super::super) unsafe extern "C" fn free(address: *mut c_void) {
        // SAFETY: the plugin frees what it got from here.
        unsafe { mi::mi_free(address) }
    }

    pub(in super::super) unsafe extern "C" fn realloc(address: *mut c_void, size: usize) -> *mut c_void {
        // SAFETY: the plugin resizes what it got from here.
        unsafe { mi::mi_realloc(address, size) }
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
            if address.is_null() || owns(address) {
                mi::mi_realloc(address, size)
            } else {
                libc::realloc(address, size)
            }
        }
    }

    pub(in super::super) unsafe extern "C" fn posix_memalign(
        out: *mut *mut c_void,
        alignment: usize,
        size: usize,
    ) -> i32 {
        // SAFETY: the plugin passes a place for the address, as to the C library.
        unsafe { mi::mi_posix_memalign(out, alignment, size) }
    }

    pub(in super::super) unsafe extern "C" fn aligned_alloc(alignment: usize, size: usize) -> *mut c_void {
        // SAFETY: any size may be asked for.
        unsafe { mi::mi_aligned_alloc(alignment, size) }
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
            let copy = mi::mi_malloc(libc::strlen(result) + 1).cast::<c_char>();
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
}

pub(super) use functions::*;
