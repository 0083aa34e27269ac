//! Randomness: where an image asks the C library for it, the host's [`Random`](crate::host::Random), as on wasm. With it the order
//! of Rust's `HashMap` is that of the wasm build too, as far as it goes by the seed.
//!
//! A host whose randomness is the system's changes nothing by this: the C library is asked, as it is by threads of the plugin's own.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_ulong, c_void};

#[cfg(feature = "native")]
use super::mapping::Mapped;
use super::{address_check, door};

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
            Some(Ok(())) => len as isize,
            Some(Err(errno)) => failed(errno) as isize,
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
            Some(Ok(())) => 0,
            Some(Err(errno)) => failed(errno) as c_int,
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

/// `void *dlsym(void *, const char *)`, by which newer libraries look for the functions above.
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn dlsym(library: *mut c_void, name: *const c_char) -> *const c_void {
    if library == libc::RTLD_DEFAULT && address_check::readable(name as u64, 1) {
        // SAFETY: the caller's promise.
        match unsafe { CStr::from_ptr(name) }.to_bytes() {
            b"getrandom" => return getrandom as *const c_void,
            b"getentropy" => return getentropy as *const c_void,
            _ => {}
        }
    }
    // SAFETY: the caller's promise.
    let found = unsafe { libc::dlsym(library, name) };
    #[cfg(feature = "native")]
    if found.is_null() && library == libc::RTLD_DEFAULT {
        return own_symbol(name);
    }
    found
}

/// A symbol of the plugin's image, which the system's loader does not search.
#[cfg(feature = "native")]
fn own_symbol(name: *const c_char) -> *const c_void {
    let caller = door::caller().filter(|_| address_check::readable(name as u64, 1));
    let Some(Mapped::Image(image)) = caller.map(|instance| instance.mapping.image()) else { return std::ptr::null() };
    // SAFETY: a C string, as the plugin passed it to `dlsym`.
    let name = unsafe { CStr::from_ptr(name) }.to_str().ok();
    name.and_then(|name| image.symbol(name)).map_or(std::ptr::null(), |address| address as *const c_void)
}

/// `__wasi_random_get(uint8_t *, unsigned long)`, which the C++ SDK's `getentropy` calls, also natively. Returns a WASI errno.
pub(super) extern "C" fn random_get(target: *mut u8, len: c_ulong) -> u16 {
    const FAULT: u16 = 21;
    const IO: u16 = 29;
    if len == 0 {
        return 0;
    }
    if !address_check::writable(target as u64, len) {
        return FAULT;
    }
    let filled = from_host(target, len as usize).unwrap_or_else(|| {
        // SAFETY: it can be written to, and is the plugin's.
        getrandom::fill(unsafe { std::slice::from_raw_parts_mut(target, len as usize) }).map_err(|_| libc::EIO)
    });
    if filled.is_ok() { 0 } else { IO }
}

/// Fills a buffer from the source of the VM that runs on this thread, or says why not. `None` where that is the system's.
fn from_host(target: *mut u8, len: usize) -> Option<Result<(), c_int>> {
    let instance = door::caller()?;
    let random = &instance.state().services.random;
    if random.is_system() {
        return None;
    }
    if len > 0 && !address_check::writable(target as u64, len as u64) {
        return Some(Err(libc::EFAULT));
    }
    let fill = || {
        // By way of a buffer of the host's own: another thread of the plugin may unmap its own meanwhile.
        let mut bytes = [0; MAX_ENTROPY];
        for at in (0..len).step_by(MAX_ENTROPY) {
            let bytes = &mut bytes[..MAX_ENTROPY.min(len - at)];
            if !random.fill(bytes) {
                return Err(libc::EIO);
            }
            // SAFETY: it can be written to, and is the plugin's.
            unsafe { target.add(at).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        }
        Ok(())
    };
    Some(door::enter(instance, "its source of random bytes", fill).unwrap_or(Err(libc::EIO)))
}

/// The answer of a function of the C library that failed.
fn failed(errno: c_int) -> c_long {
    // SAFETY: this thread's own.
    unsafe { *libc::__errno_location() = errno };
    -1
}
