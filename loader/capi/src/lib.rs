//! The loader's C API. Each file implements the header of the same name in
//! `loader/include/dynvm/loader`, which documents the functions.
//!
//! A pointer to an object of the API is a `Box` of one Rust type. No panic leaves a function: those
//! that can fail return it as an error, the others end the process, as every `extern "C"` function of
//! Rust does.

#![allow(clippy::missing_safety_doc, reason = "each function's contract is in its header")]
#![allow(missing_docs, reason = "documented in the headers")]

mod deployment;
mod error;
mod hostcalls;
mod linked;
mod module;
mod options;
mod text;
mod vm;

use std::ffi::{CStr, c_char};

#[unsafe(no_mangle)]
pub extern "C" fn dynvm_loader_version() -> *const c_char {
    const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version has no NUL in it"),
    };
    VERSION.as_ptr()
}
