//! The functions that Envoy calls.
//!
//! No panic passes to Envoy: each hook catches it, logs it, and returns what stops the stream.

mod access_logger;
mod cluster;
mod http_config;
mod http_filter;
mod network;
mod plugin;

use std::ffi::{c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use dynvm::abi::types::LogLevel;
use dynvm::host::{HeaderMap as _, Headers};

use super::process;
use super::types::{EnvoyBuffer, EnvoyHeader};
use crate::local;

/// Runs a hook. After a panic, the result is that of `otherwise`.
fn guard<R>(otherwise: impl FnOnce() -> R, hook: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(hook)).unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let what = what.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        // Not dropped: a panic's value may panic again.
        std::mem::forget(panic);
        process::log(LogLevel::Critical, format!("[dynvm] internal error: {what}").as_bytes());
        otherwise()
    })
}

/// Copies header lines of Envoy.
///
/// # Safety
///
/// Envoy gave the pointer and the count, to an event that still lasts.
unsafe fn copy_headers(lines: *const EnvoyHeader, count: usize) -> Headers {
    let mut headers = Headers::new();
    if !lines.is_null() {
        // SAFETY: by the caller's promise.
        for line in unsafe { std::slice::from_raw_parts(lines, count) } {
            // SAFETY: as above.
            unsafe { headers.add(line.name.bytes(), line.value.bytes()) }
        }
    }
    headers
}

/// Copies pieces of a body of Envoy.
///
/// # Safety
///
/// As [`copy_headers`].
unsafe fn copy_chunks(chunks: *const EnvoyBuffer, count: usize) -> Vec<u8> {
    if chunks.is_null() {
        return Vec::new();
    }
    // SAFETY: by the caller's promise.
    unsafe { std::slice::from_raw_parts(chunks, count).iter().flat_map(|chunk| chunk.bytes()).copied().collect() }
}

/// Envoy has opened the module, on its main thread.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    guard(ptr::null, || {
        local::this_is_main();
        match process::start() {
            Ok(version) => version.as_ptr(),
            Err(what) => {
                // Envoy's log may be what is missing.
                eprintln!("[dynvm] {what}");
                ptr::null()
            }
        }
    })
}

/// A pointer that Envoy gives back.
type ModulePtr = *const c_void;
/// A pointer of Envoy.
type EnvoyPtr = *mut c_void;
