//! Conversion of strings and objects from and to C.

use std::ffi::{CStr, CString, c_char};

/// Error of an argument that is not a string: it is null, or not UTF-8.
pub(crate) struct TextError(pub(crate) String);

/// A string argument.
///
/// # Safety
///
/// The string ends with a NUL, and outlives the returned reference.
pub(crate) unsafe fn text<'a>(pointer: *const c_char, what: &str) -> Result<&'a str, TextError> {
    if pointer.is_null() {
        return Err(TextError(format!("{what} is null")));
    }
    // SAFETY: guaranteed by the caller, as this function requires.
    let bytes = unsafe { CStr::from_ptr(pointer) };
    bytes.to_str().map_err(|_| TextError(format!("{what} is not UTF-8: {bytes:?}")))
}

/// A string to return to C. A NUL in it, which would end it for C, becomes a space.
pub(crate) fn c_string(text: impl Into<Vec<u8>>) -> CString {
    let mut bytes = text.into();
    bytes.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
    CString::new(bytes).unwrap_or_default()
}

/// An object argument.
///
/// # Safety
///
/// This API returned the object and it has not been freed; for `&mut`, no other thread uses it.
pub(crate) unsafe fn object<'a, T>(pointer: *const T) -> &'a T {
    // SAFETY: guaranteed by the caller, as this function requires.
    unsafe { pointer.as_ref() }.unwrap_or_else(|| panic!("{} is null", std::any::type_name::<T>()))
}

/// An object argument, for changing it.
///
/// # Safety
///
/// As [`object`].
pub(crate) unsafe fn object_mut<'a, T>(pointer: *mut T) -> &'a mut T {
    // SAFETY: guaranteed by the caller, as this function requires.
    unsafe { pointer.as_mut() }.unwrap_or_else(|| panic!("{} is null", std::any::type_name::<T>()))
}

/// Moves an object to the heap and gives its ownership to C.
pub(crate) fn give<T>(object: T) -> *mut T {
    Box::into_raw(Box::new(object))
}

/// Frees an object owned by C; null is ignored.
///
/// # Safety
///
/// [`give`] returned the pointer, and the object has not been freed.
pub(crate) unsafe fn free<T>(pointer: *mut T) {
    if !pointer.is_null() {
        // SAFETY: guaranteed by the caller, as this function requires.
        drop(unsafe { Box::from_raw(pointer) });
    }
}
