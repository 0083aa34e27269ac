//! The allocator of images: what their `malloc`, `free` and the rest bind to, where the image was edited for it.
//!
//! It is mimalloc. The C library may hand memory of its own to a plugin, to be freed by it (`realpath`, `strdup`): such an address is
//! not mimalloc's, and goes back to the C library.

/// Memory that a plugin's `free` takes, for plugins that export no allocator.
pub(super) fn allocate(edited: bool, size: usize) -> *mut u8 {
    // SAFETY: any size may be asked for.
    unsafe { if edited { malloc(size) } else { libc::malloc(size) }.cast() }
}

#[cfg(feature = "heap")]
mod functions {
    use std::ffi::c_void;

    use libmimalloc_sys as mi;

    /// Whether mimalloc owns an address.
    ///
    /// # Safety
    ///
    /// None: any address may be asked for.
    unsafe fn owns(address: *const c_void) -> bool {
        // SAFETY: only looks the address up.
        unsafe { mi::mi_is_in_heap_region(address) }
    }

    pub(in super::super) unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
        // SAFETY: any size may be asked for.
        unsafe { mi::mi_malloc(size) }
    }

    pub(in super::super) unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
        // SAFETY: any size may be asked for.
        unsafe { mi::mi_calloc(count, size) }
    }

    pub(in super::super) unsafe extern "C" fn free(address: *mut c_void) {
        if address.is_null() {
            return;
        }
        // SAFETY: the plugin frees what it got, from here or from the C library.
        unsafe { if owns(address) { mi::mi_free(address) } else { libc::free(address) } }
    }

    pub(in super::super) unsafe extern "C" fn realloc(address: *mut c_void, size: usize) -> *mut c_void {
        // SAFETY: as in free.
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
        // SAFETY: as in free.
        unsafe {
            if address.is_null() || owns(address) {
                mi::mi_usable_size(address)
            } else {
                libc::malloc_usable_size(address)
            }
        }
    }
}

#[cfg(not(feature = "heap"))]
mod functions {
    //! Never bound to: without the feature no image is edited for them. The C library's own, so that the table has an entry.

    pub(in super::super) use libc::{
        aligned_alloc, calloc, free, malloc, malloc_usable_size as usable_size, posix_memalign, realloc,
    };
}

pub(super) use functions::*;
