//! What is asked of the kernel.

use std::io;
use std::ptr;

/// Bytes of a page.
pub(crate) fn page_size() -> usize {
    // SAFETY: takes a number. The system always has an answer to this one.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// Reserves addresses: no memory, no access, no huge pages.
pub(crate) fn reserve(len: usize) -> io::Result<*mut u8> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: maps where nothing is mapped.
    let address = unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: of the mapping just made. A kernel without huge pages refuses, and needs no such request.
    unsafe { libc::madvise(address, len, libc::MADV_NOHUGEPAGE) };
    Ok(address.cast())
}

/// Gives a reservation back.
///
/// # Safety
///
/// It is a whole reservation, which nothing refers to.
pub(crate) unsafe fn release(address: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { libc::munmap(address.cast(), len) };
}

/// Allows or forbids reading and writing of whole pages.
///
/// # Safety
///
/// They are part of a reservation, and nothing refers to them if access is forbidden.
pub(crate) unsafe fn set_access(address: *mut u8, len: usize, access: bool) -> io::Result<()> {
    let protection = if access { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_NONE };
    // SAFETY: the caller's promise.
    if unsafe { libc::mprotect(address.cast(), len, protection) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Leaves pages out of core dumps.
///
/// # Safety
///
/// They are part of a reservation.
pub(crate) unsafe fn keep_from_dumps(address: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { libc::madvise(address.cast(), len, libc::MADV_DONTDUMP) };
}

/// Frees the memory of whole pages, which then read as zero.
///
/// # Safety
///
/// They are part of a reservation, and what they hold is not needed.
pub(crate) unsafe fn discard(address: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    if unsafe { libc::madvise(address.cast(), len, libc::MADV_DONTNEED) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Makes memory zero that need not start or end with a page: of whole pages in it, the memory is freed.
///
/// # Safety
///
/// It is part of a reservation, and what it holds is not needed.
pub(crate) unsafe fn clear(address: *mut u8, len: usize) -> io::Result<()> {
    let page = page_size();
    let before = (address.align_offset(page)).min(len);
    let pages = (len - before) / page * page;
    // SAFETY: the caller's promise.
    unsafe {
        address.write_bytes(0, before);
        address.add(before + pages).write_bytes(0, len - before - pages);
        if pages == 0 { Ok(()) } else { discard(address.add(before), pages) }
    }
}

/// The limit on this process's addresses, if it has one.
pub(crate) fn address_limit() -> Option<usize> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes to the place passed.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) };
    (result == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur as usize)
}
