//! `getline` and its kin: they resize the caller's buffer, which is of the VM's heap and not of libc's.

use std::ffi::{c_char, c_int};
use std::ptr;

use super::heap;

unsafe extern "C" {
    #[link_name = "getdelim"]
    fn libc_getdelim(line: *mut *mut c_char, size: *mut usize, delimiter: c_int, stream: *mut libc::FILE) -> isize;
}

/// `ssize_t getline(char **, size_t *, FILE *)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn getline(line: *mut *mut c_char, size: *mut usize, stream: *mut libc::FILE) -> isize {
    // SAFETY: the caller's promise.
    unsafe { getdelim(line, size, c_int::from(b'\n'), stream) }
}

/// `ssize_t getdelim(char **, size_t *, int, FILE *)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn getdelim(
    line: *mut *mut c_char,
    size: *mut usize,
    delimiter: c_int,
    stream: *mut libc::FILE,
) -> isize {
    if line.is_null() || size.is_null() {
        // SAFETY: this thread's own.
        unsafe { *libc::__errno_location() = libc::EINVAL };
        return -1;
    }
    let (mut read, mut capacity) = (ptr::null_mut(), 0);
    // SAFETY: the caller's promise. libc allocates the buffer, which is copied to one that the plugin can free.
    unsafe {
        let len = libc_getdelim(&mut read, &mut capacity, delimiter, stream);
        if len >= 0 {
            let needed = len as usize + 1;
            if (*line).is_null() || *size < needed {
                let grown = heap::realloc((*line).cast(), needed);
                if grown.is_null() {
                    libc::free(read.cast());
                    *libc::__errno_location() = libc::ENOMEM;
                    return -1;
                }
                (*line, *size) = (grown.cast(), needed);
            }
            ptr::copy_nonoverlapping(read, *line, needed);
        }
        libc::free(read.cast());
        len
    }
}
