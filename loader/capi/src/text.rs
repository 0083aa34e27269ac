//! Strings and objects, as they come from C.

use std::ffi::{CStr, CString, c_char};

/// Why a string that was passed in is none: null, or not UTF-8.
pub(crate) struct TextError(pub(crate) String);

/// A string that was passed in.
///
/// # Safety
///
/// It ends with a NUL, and lives for as long as what is returned is used.
pub(crate) unsafe fn text<'a>(pointer: *const c_char, what: &str) -> Result<&'a str, TextError> {
    if pointer.is_null() {
        return Err(TextError(format!("{what} is null")));
    }
    // SAFETY: the caller's promise.
    let bytes = unsafe { CStr::from_ptr(pointer) };
    bytes.to_str().map_err(|_| TextError(format!("{what} is not UTF-8: {bytes:?}")))
}

/// A string to be handed out. A NUL in it, which C could not see beyond, becomes a space.
pub(crate) fn c_string(text: impl Into<Vec<u8>>) -> CString {
    let mut bytes = text.into();
    bytes.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
    CString::new(bytes).unwrap_or_default()
}

/// An object that was passed in.
///
/// # Safety
///
/// It is one that this API gave and that was not freed; of `&mut`, nobody else uses it meanwhile.
pub(crate) unsafe fn object<'a, T>(pointer: *const T) -> &'a T {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_ref() }.unwrap_or_else(|| panic!("{} is null", std::any::type_name::<T>()))
}

/// The same, to be changed.
///
/// # Safety
///
/// As [`object`].
pub(crate) unsafe fn object_mut<'a, T>(pointer: *mut T) -> &'a mut T {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_mut() }.unwrap_or_else(|| panic!("{} is null", std::any::type_name::<T>()))
}

/// Hands an object out.
pub(crate) fn give<T>(object: T) -> *mut T {
    Box::into_raw(Box::new(object))
}

/// Frees an object that was handed out; null is none.
///
/// # Safety
///
/// [`give`] gave it, and it was not freed.
pub(crate) unsafe fn free<T>(pointer: *mut T) {
    if !pointer.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(pointer) });
    }
}
