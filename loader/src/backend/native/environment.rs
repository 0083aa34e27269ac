//! Environment variables: where an image asks the C library for one, that of the VM's configuration comes first.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int};

use super::{address_check, door};

/// The variables of a VM, as C has them.
pub(super) struct Environment(BTreeMap<CString, CString>);

impl Environment {
    /// Leaves out what C cannot have: a null in a name or a value.
    pub(super) fn new(variables: &BTreeMap<String, String>) -> Environment {
        let c = |(name, value): (&String, &String)| Some((CString::new(&**name).ok()?, CString::new(&**value).ok()?));
        Environment(variables.iter().filter_map(c).collect())
    }
}

/// `char *getenv(const char *name)`, `char *secure_getenv(const char *name)`: valid for as long as the VM lives.
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn getenv(name: *const c_char) -> *mut c_char {
    // SAFETY: the caller's promise.
    unsafe {
        if let Some(instance) = door::caller()
            && let Some(foreign) = &instance.foreign
            && address_check::readable(name as u64, 1)
            && let Ok(Some(value)) = door::enter(instance, "getenv", || foreign.variable(CStr::from_ptr(name)))
        {
            return value.cast_mut();
        }
        if let Some(instance) = door::caller()
            && !instance.environment.0.is_empty()
            && address_check::readable(name as u64, 1)
            && let Some(value) = instance.environment.0.get(CStr::from_ptr(name))
        {
            // To be read only, as the C library's.
            return value.as_ptr().cast_mut();
        }
        libc::getenv(name)
    }
}

/// `int putenv(char *string)`: the environment keeps the address, so it gets a copy that outlives the VM.
///
/// # Safety
///
/// As the C library's.
pub(super) unsafe extern "C" fn putenv(string: *mut c_char) -> c_int {
    // SAFETY: the caller's promise. The copy is never freed, since the environment refers to it.
    unsafe { libc::putenv(libc::strdup(string)) }
}
