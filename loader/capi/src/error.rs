//! Errors: the C functions of `loader/error.h`, and the conversion of errors and panics.

use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use dynvm::{LoadError, StartError, with_causes};

use crate::text::{TextError, c_string, free, give, object};

/// The type behind `dynvm_error_t`.
#[derive(Debug)]
pub struct Error {
    code: Code,
    text: CString,
}

#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Code {
    Argument = 1,
    Io = 2,
    NotAPlugin = 3,
    UnknownImport = 4,
    Untrusted = 5,
    Image = 6,
    Failed = 7,
    Refused = 8,
    Internal = 9,
}

impl Error {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Error {
        Error { code, text: c_string(text.into()) }
    }
}

impl From<LoadError> for Error {
    fn from(error: LoadError) -> Error {
        let code = match &error {
            LoadError::Io { .. } => Code::Io,
            LoadError::NativeNotAllowed { .. } | LoadError::Untrusted { .. } => Code::Untrusted,
            LoadError::NotLinked { .. } | LoadError::LinkedTwice { .. } => Code::Argument,
            LoadError::UnknownImports { .. } => Code::UnknownImport,
            _ => Code::NotAPlugin,
        };
        Error::new(code, with_causes(&error))
    }
}

impl From<TextError> for Error {
    fn from(TextError(text): TextError) -> Error {
        Error::new(Code::Argument, text)
    }
}

impl From<StartError> for Error {
    fn from(error: StartError) -> Error {
        let code = match &error {
            StartError::Image { .. } => Code::Image,
            _ => Code::Failed,
        };
        Error::new(code, with_causes(&error))
    }
}

/// Runs a fallible operation and returns its error, or null, to C. A panic becomes an error.
pub(crate) fn attempt(run: impl FnOnce() -> Result<(), Error>) -> *mut Error {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => std::ptr::null_mut(),
        Ok(Err(error)) => give(error),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
            give(Error::new(Code::Internal, format!("the loader failed: {text}")))
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_error_code(error: *const Error) -> u32 {
    // SAFETY: guaranteed by the caller, as `loader/error.h` requires.
    unsafe { object(error) }.code as u32
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_error_text(error: *const Error) -> *const c_char {
    // SAFETY: guaranteed by the caller, as `loader/error.h` requires.
    unsafe { object(error) }.text.as_ptr()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn dynvm_error_free(error: *mut Error) {
    // SAFETY: guaranteed by the caller, as `loader/error.h` requires.
    unsafe { free(error) }
}
