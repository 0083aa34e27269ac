//! Standard output and standard error of plugins: to the log, as on wasm, where an edited image calls `write` and `writev`, as Rust's
//! `println!` and panics do. C's `printf` writes from within the C library, which is not edited.

use std::ffi::{c_int, c_void};

use dynvm_abi::types::LogLevel;

use super::current_instance;

/// `ssize_t write(int fd, const void *buffer, size_t count)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn write(fd: c_int, buffer: *const c_void, count: usize) -> isize {
    let Some(level) = level(fd) else {
        // SAFETY: the caller's promise.
        return unsafe { libc::write(fd, buffer, count) };
    };
    if count > 0 {
        // SAFETY: the caller's promise.
        log(level, unsafe { std::slice::from_raw_parts(buffer.cast(), count) });
    }
    count as isize
}

/// `ssize_t writev(int fd, const struct iovec *vectors, int count)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn writev(fd: c_int, vectors: *const libc::iovec, count: c_int) -> isize {
    let Some(level) = level(fd) else {
        // SAFETY: the caller's promise.
        return unsafe { libc::writev(fd, vectors, count) };
    };
    let mut text = Vec::new();
    for index in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: the caller's promise.
        unsafe {
            let vector = &*vectors.add(index);
            if vector.iov_len > 0 {
                text.extend_from_slice(std::slice::from_raw_parts(vector.iov_base.cast(), vector.iov_len));
            }
        }
    }
    log(level, &text);
    text.len() as isize
}

/// The level of what is written, if it is a plugin's: as on wasm, standard output is information, standard error is an error.
fn level(fd: c_int) -> Option<LogLevel> {
    if current_instance::get().is_null() {
        return None;
    }
    match fd {
        1 => Some(LogLevel::Info),
        2 => Some(LogLevel::Error),
        _ => None,
    }
}

fn log(level: LogLevel, text: &[u8]) {
    let line = text.strip_suffix(b"\n").unwrap_or(text);
    // SAFETY: an instance lives for as long as it is current on this thread.
    if let Some(instance) = unsafe { current_instance::get().as_ref() }
        && !text.is_empty()
    {
        instance.state().log(level, line);
    }
}
