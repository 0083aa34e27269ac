//! Standard output and standard error of plugins: to the log, as on wasm, where an image calls `write` and `writev`, as Rust's
//! `println!` and panics do. C's `printf` writes from within the C library, whose own calls stay as they are.

use std::ffi::{c_int, c_void};

use dynvm_abi::types::LogLevel;

use super::address_check::readable;
use super::door;
use super::vm::Instance;

/// `ssize_t write(int fd, const void *buffer, size_t count)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn write(fd: c_int, buffer: *const c_void, count: usize) -> isize {
    match writer(fd) {
        // The system answers a bad address.
        Some((instance, level)) if readable(buffer as u64, count as u64) => {
            // SAFETY: these bytes can be read, and are the plugin's.
            log(instance, level, &|| unsafe { bytes(buffer, count) }.to_vec());
            count as isize
        }
        // SAFETY: the caller's promise.
        _ => unsafe { libc::write(fd, buffer, count) },
    }
}

/// `ssize_t writev(int fd, const struct iovec *vectors, int count)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn writev(fd: c_int, vectors: *const libc::iovec, count: c_int) -> isize {
    let parts = || {
        let count = usize::try_from(count).unwrap_or(0);
        // SAFETY: made only once they can be read.
        (0..count).map(move |index| unsafe { vectors.add(index).read() })
    };
    let can_be_read = || {
        count > 0
            && readable(vectors as u64, count as u64 * size_of::<libc::iovec>() as u64)
            && parts().all(|part| part.iov_len == 0 || readable(part.iov_base as u64, part.iov_len as u64))
    };
    match writer(fd) {
        Some((instance, level)) if can_be_read() => {
            // SAFETY: these bytes can be read, and are the plugin's.
            let text = || parts().flat_map(|part| unsafe { bytes(part.iov_base, part.iov_len) }).copied().collect();
            log(instance, level, &text);
            parts().map(|part| part.iov_len as isize).sum()
        }
        // SAFETY: the caller's promise.
        _ => unsafe { libc::writev(fd, vectors, count) },
    }
}

/// # Safety
///
/// The bytes can be read for as long as they are used.
unsafe fn bytes<'a>(start: *const c_void, len: usize) -> &'a [u8] {
    // SAFETY: the caller's promise.
    if len == 0 { &[] } else { unsafe { std::slice::from_raw_parts(start.cast(), len) } }
}

/// Which plugin writes, and the level of what it writes: as on wasm, standard output is information, standard error is an error.
fn writer(fd: c_int) -> Option<(&'static Instance, LogLevel)> {
    let level = match fd {
        1 => LogLevel::Info,
        2 => LogLevel::Error,
        _ => return None,
    };
    Some((door::caller()?, level))
}

fn log(instance: &Instance, level: LogLevel, text: &dyn Fn() -> Vec<u8>) {
    // A panic of the host's log fails the VM; the plugin's call is left.
    let _ = door::enter(instance, "its log", || {
        let text = text();
        if !text.is_empty() {
            instance.state().log(level, text.strip_suffix(b"\n").unwrap_or(&text));
        }
    });
}
