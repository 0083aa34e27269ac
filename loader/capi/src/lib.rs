//! The loader's C API. Each file is the header of its name in `loader/include/dynvm/loader`, which has the documentation: here is only what it
//! does not say.
//!
//! An object of the API is a box of one Rust type, behind a pointer. No function lets a panic out: those that can fail report it as an error,
//! the others end the process, as a Rust function with C's calling convention does.

#![allow(clippy::missing_safety_doc, reason = "each function's contract is in its header")]
#![allow(missing_docs, reason = "documented in the headers")]

mod deployment;
mod error;
mod hostcalls;
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
