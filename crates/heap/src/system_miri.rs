//! What takes the place of the kernel under Miri, which knows no reservations: memory that is always accessible.

use std::alloc::{Layout, alloc_zeroed};
use std::io;

pub(crate) fn page_size() -> usize {
    4096
}

pub(crate) fn reserve(len: usize) -> io::Result<*mut u8> {
    let layout = Layout::from_size_align(len, page_size()).map_err(io::Error::other)?;
    // SAFETY: of a size that is not 0.
    Ok(unsafe { alloc_zeroed(layout) })
}

pub(crate) unsafe fn release(_: *mut u8, _: usize) {}

pub(crate) unsafe fn set_access(_: *mut u8, _: usize, _: bool) -> io::Result<()> {
    Ok(())
}

pub(crate) unsafe fn keep_from_dumps(_: *mut u8, _: usize) {}

pub(crate) unsafe fn discard(address: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    unsafe { address.write_bytes(0, len) }
    Ok(())
}

pub(crate) unsafe fn clear(address: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    unsafe { discard(address, len) }
}

pub(crate) fn address_limit() -> Option<usize> {
    None
}
