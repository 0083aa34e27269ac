//! Randomness: where an edited image asks the C library for it, the host's [`Random`](crate::host::Random), as on wasm. With it the order
//! of Rust's `HashMap` is that of the wasm build too, as far as it goes by the seed.
//!
//! A host whose randomness is the system's changes nothing by this: the C library is asked, as it is by threads of the plugin's own.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::current_instance;
use crate::error::FailureKind;
use crate::instance::InstanceState;

/// What `getentropy` gives at most.
const MAX_ENTROPY: usize = 256;

/// `ssize_t getrandom(void *target, size_t len, unsigned flags)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn getrandom(target: *mut c_void, len: usize, flags: c_uint) -> isize {
    // SAFETY: the caller's promise.
    unsafe {
        match from_host(target.cast(), len) {
            Some(true) => len as isize,
            Some(false) => failed(libc::EIO) as isize,
            None => libc::getrandom(target, len, flags),
        }
    }
}

/// `int getentropy(void *target, size_t len)`
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn getentropy(target: *mut c_void, len: usize) -> c_int {
    if len > MAX_ENTROPY {
        return failed(libc::EIO) as c_int;
    }
    // SAFETY: the caller's promise.
    unsafe {
        match from_host(target.cast(), len) {
            Some(true) => 0,
            Some(false) => failed(libc::EIO) as c_int,
            None => libc::getentropy(target, len),
        }
    }
}

/// `long syscall(long number, ...)`, by which older libraries ask for random bytes. All other calls are the system's.
///
/// # Safety
///
/// As the C library's.
#[rustfmt::skip]
pub(super) unsafe extern "C" fn syscall(
    number: c_long, a: c_long, b: c_long, c: c_long, d: c_long, e: c_long, f: c_long,
) -> c_long {
    // SAFETY: the caller's promise. What it did not pass is not looked at by the system either.
    unsafe {
        match number {
            libc::SYS_getrandom => getrandom(a as *mut c_void, b as usize, c as c_uint) as c_long,
            _ => libc::syscall(number, a, b, c, d, e, f),
        }
    }
}

/// What `dlsym` finds in the whole process under a name, by which newer libraries ask; null: what the system finds.
///
/// # Safety
///
/// The name is a C string.
pub(super) unsafe extern "C" fn look_up(name: *const c_char) -> *const c_void {
    if name.is_null() {
        return std::ptr::null();
    }
    // SAFETY: the caller's promise.
    match unsafe { CStr::from_ptr(name) }.to_bytes() {
        b"getrandom" => getrandom as *const c_void,
        b"getentropy" => getentropy as *const c_void,
        _ => std::ptr::null(),
    }
}

/// `__wasi_random_get(uint8_t *, unsigned long)`, which the C++ SDK's `getentropy` calls, also natively. Returns a WASI errno.
pub(super) extern "C" fn random_get(target: *mut u8, len: c_ulong) -> u16 {
    const FAULT: u16 = 21;
    const IO: u16 = 29;
    if target.is_null() {
        return if len == 0 { 0 } else { FAULT };
    }
    // SAFETY: the plugin passes a buffer of this length.
    let filled = unsafe {
        from_host(target, len as usize)
            .unwrap_or_else(|| getrandom::fill(std::slice::from_raw_parts_mut(target, len as usize)).is_ok())
    };
    if filled { 0 } else { IO }
}

/// Fills a buffer from the source of the VM that runs on this thread: whether the source could. None where that is the system's.
///
/// # Safety
///
/// The buffer can be written.
unsafe fn from_host(target: *mut u8, len: usize) -> Option<bool> {
    // SAFETY: an instance lives for as long as it is current on this thread.
    let state = unsafe { current_instance::get().as_ref() }?.state();
    if state.services.random.is_system() {
        return None;
    }
    // By way of a buffer of the host's own: where the plugin's is none, it is here that it crashes, and not while the source is at work.
    let mut bytes = [0; MAX_ENTROPY];
    for at in (0..len).step_by(MAX_ENTROPY) {
        let bytes = &mut bytes[..MAX_ENTROPY.min(len - at)];
        if !fill(state, bytes) {
            return Some(false);
        }
        // SAFETY: the caller's promise.
        unsafe { target.add(at).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }
    Some(true)
}

/// A panic of the host's must not unwind into the plugin.
fn fill(state: &InstanceState, bytes: &mut [u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| state.services.random.fill(bytes))).unwrap_or_else(|_| {
        state.fail_with(FailureKind::Host, "the host panicked when it was asked for random bytes");
        false
    })
}

/// The answer of a function of the C library that failed.
fn failed(errno: c_int) -> c_long {
    // SAFETY: this thread's own.
    unsafe { *libc::__errno_location() = errno };
    -1
}
