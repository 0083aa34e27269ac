//! Hostcalls of the host: the C functions of `loader/hostcalls.h`.

use std::ffi::{CStr, c_char, c_void};

use dynvm::image::Hostcalls as Table;
use dynvm_abi::table::HostcallId;

use crate::error::{Code, Error, attempt};
use crate::text::{free, give, object, object_mut, text};

/// The type behind `dynvm_hostcalls_t`.
#[derive(Default)]
pub struct Hostcalls(pub(crate) Table);

macro_rules! names {
    ($($name:ident($($param:ident: $ty:ident),*) $versions:ident [$($status:ident)*];)*) => {
        /// The names in the order of the table, as C strings.
        static NAMES: &[&CStr] = &[$(
            match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => panic!("a name has no NUL in it"),
            }
        ),*];
    };
}

dynvm_abi::hostcalls!(names);

/// The name of a hostcall as a C string.
pub(crate) fn name(id: HostcallId) -> &'static CStr {
    NAMES[id as usize]
}

#[unsafe(no_mangle)]
pub extern "C" fn dynvm_hostcalls_new() -> *mut Hostcalls {
    give(Hostcalls::default())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_hostcalls_free(hostcalls: *mut Hostcalls) {
    // SAFETY: guaranteed by the caller, as `loader/hostcalls.h` requires.
    unsafe { free(hostcalls) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_hostcalls_bind(
    hostcalls: *mut Hostcalls,
    name: *const c_char,
    function: *const c_void,
) -> *mut Error {
    attempt(|| {
        // SAFETY: guaranteed by the caller, as `loader/hostcalls.h` requires.
        let (hostcalls, name) = unsafe { (object_mut(hostcalls), text(name, "the hostcall's name")?) };
        // SAFETY: the caller's promise: the function is of the type that the header asks for.
        unsafe { hostcalls.0.bind(name, function) }.map_err(|error| Error::new(Code::Argument, error.to_string()))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_hostcalls_bind_own(
    hostcalls: *mut Hostcalls,
    name: *const c_char,
    parameters: usize,
    function: *const c_void,
) -> *mut Error {
    attempt(|| {
        // SAFETY: guaranteed by the caller, as `loader/hostcalls.h` requires.
        let (hostcalls, name) = unsafe { (object_mut(hostcalls), text(name, "the hostcall's name")?) };
        // SAFETY: the caller's promise: the function is of the type that the header asks for.
        let bound = unsafe { hostcalls.0.bind_own(name, parameters, function) };
        bound.map_err(|error| Error::new(Code::Argument, error.to_string()))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_hostcalls_has(hostcalls: *const Hostcalls, name: *const c_char) -> bool {
    // SAFETY: guaranteed by the caller, as `loader/hostcalls.h` requires.
    let (hostcalls, name) = unsafe { (object(hostcalls), text(name, "the hostcall's name")) };
    name.is_ok_and(|name| hostcalls.0.has(name))
}

#[unsafe(no_mangle)]
pub extern "C" fn dynvm_hostcall_count() -> usize {
    NAMES.len()
}

#[unsafe(no_mangle)]
pub extern "C" fn dynvm_hostcall_name(index: usize) -> *const c_char {
    NAMES.get(index).map_or(std::ptr::null(), |name| name.as_ptr())
}
