//! Calls to upstreams. Envoy makes them for a stream or for a configuration, by two families of functions with the same
//! signature.

use std::cell::Cell;
use std::ffi::c_void;

use super::types::{ModuleBuffer, ModuleHeader, call_start};
use crate::calls::CallStart;

/// Why a call to an upstream was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartError {
    /// A required header is missing, or the cluster is unknown.
    BadArgument,
    /// The call cannot be made now.
    Internal,
}

/// Object, place for the number, cluster, headers and their number, body, end of the stream, timeout.
pub(super) type StartFunction = unsafe extern "C" fn(
    *mut c_void,
    *mut u64,
    ModuleBuffer,
    *const ModuleHeader,
    usize,
    ModuleBuffer,
    bool,
    u64,
) -> i32;

/// Starts a call. Envoy may run its hooks before this returns. `id` has the call's number, from before the hooks run where
/// Envoy sets it so early.
///
/// # Safety
///
/// The object is a living one of the function's kind, on its thread.
pub(super) unsafe fn start(
    function: Option<StartFunction>,
    object: *mut c_void,
    id: &Cell<u64>,
    call: &CallStart,
) -> Result<(), StartError> {
    let Some(function) = function.filter(|_| !object.is_null()) else { return Err(StartError::Internal) };
    let lines = ModuleHeader::lines(&call.headers);
    let (cluster, body) = (ModuleBuffer::new(&call.cluster), ModuleBuffer::new(&call.body));
    // SAFETY: by the caller's promise; Envoy writes the number, and reads the rest, during the call only.
    let result = unsafe {
        function(object, id.as_ptr(), cluster, lines.as_ptr(), lines.len(), body, call.end_stream, call.timeout_ms)
    };
    match result {
        call_start::SUCCESS => Ok(()),
        call_start::MISSING_HEADERS | call_start::CLUSTER_NOT_FOUND => Err(StartError::BadArgument),
        _ => Err(StartError::Internal),
    }
}
