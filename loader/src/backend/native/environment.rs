//! Environment variables: where an edited image asks the C library for one, that of the VM's configuration comes first.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};

use super::current_instance;

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
    // SAFETY: the caller's promise; an instance lives for as long as it is current on this thread.
    unsafe {
        if let Some(instance) = current_instance::get().as_ref()
            && let Some(foreign) = &instance.foreign
            && !name.is_null()
        {
            let in_host = instance.in_host.replace(true);
            let value = foreign.variable(CStr::from_ptr(name));
            instance.in_host.set(in_host);
            if let Some(value) = value {
                return value.cast_mut();
            }
        }
        if let Some(instance) = current_instance::get().as_ref()
            && !instance.environment.0.is_empty()
            && !name.is_null()
            && let Some(value) = instance.environment.0.get(CStr::from_ptr(name))
        {
            // To be read only, as the C library's.
            return value.as_ptr().cast_mut();
        }
        libc::getenv(name)
    }
}
