//! Hostcalls implemented by an embedder.

use std::ffi::c_void;

use dynvm_abi::table::{HOSTCALLS, HostcallId};

/// The functions that implement a plugin's hostcalls.
#[derive(Clone)]
pub struct Hostcalls {
    functions: [*const c_void; HOSTCALLS.len()],
}

/// No version of the ABI has a hostcall of this name.
#[derive(Debug, thiserror::Error)]
#[error("{0}: no Proxy-Wasm ABI has this hostcall")]
pub struct UnknownHostcall(pub String);

impl Default for Hostcalls {
    /// A table without hostcalls.
    fn default() -> Self {
        Hostcalls { functions: [std::ptr::null(); HOSTCALLS.len()] }
    }
}

impl Hostcalls {
    /// Binds a hostcall to a function: `uint64_t function(uint64_t, ...)` in C, with the hostcall's
    /// parameters in order, each widened to 64 bits: numbers with zeros, a boolean to 0 or 1,
    /// addresses unchanged. It returns a [status](dynvm_abi::types::Status).
    ///
    /// The loader calls the function on the VM's thread, after checking that the bytes at the
    /// addresses can be read, or written to if they are results. A status unknown to the SDKs
    /// becomes `InternalFailure`.
    ///
    /// # Errors
    ///
    /// No version of the ABI has a hostcall of this name.
    ///
    /// # Safety
    ///
    /// The function has this type, does not unwind, and outlives the VMs that call it.
    pub unsafe fn bind(&mut self, name: &str, function: *const c_void) -> Result<(), UnknownHostcall> {
        let id = find(name).ok_or_else(|| UnknownHostcall(name.to_owned()))?;
        self.functions[id as usize] = function;
        Ok(())
    }

    /// True if a hostcall is bound.
    pub fn has(&self, name: &str) -> bool {
        find(name).is_some_and(|id| !self.functions[id as usize].is_null())
    }

    pub(super) fn into_functions(self) -> [*const c_void; HOSTCALLS.len()] {
        self.functions
    }
}

/// The hostcall with this name.
pub(super) fn find(name: &str) -> Option<HostcallId> {
    HostcallId::ALL.iter().copied().find(|id| id.describe().name == name)
}
