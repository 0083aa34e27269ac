//! The functions of an embedder.

use std::ffi::c_void;

use dynvm_abi::table::{HOSTCALLS, HostcallId};

/// Where a plugin's hostcalls go.
#[derive(Clone)]
pub struct Hostcalls {
    functions: [*const c_void; HOSTCALLS.len()],
}

/// There is no such hostcall in any version of the ABI.
#[derive(Debug, thiserror::Error)]
#[error("{0}: no Proxy-Wasm ABI has this hostcall")]
pub struct UnknownHostcall(pub String);

impl Default for Hostcalls {
    /// None.
    fn default() -> Self {
        Hostcalls { functions: [std::ptr::null(); HOSTCALLS.len()] }
    }
}

impl Hostcalls {
    /// Binds a hostcall to a function: `uint64_t function(uint64_t, ...)` in C, with the hostcall's parameters in their order, each widened to 64
    /// bits: numbers with zeros, a boolean to 0 or 1, addresses as they are. It returns a [status](dynvm_abi::types::Status).
    ///
    /// The loader calls it on the VM's thread, when the bytes at the addresses can be read, or written to where the host returns something
    /// there. A status that the SDKs do not know is passed on to the plugin as `InternalFailure`.
    ///
    /// # Errors
    ///
    /// No ABI has a hostcall of this name.
    ///
    /// # Safety
    ///
    /// The function is of this type, does not unwind, and lives for as long as VMs do that call it.
    pub unsafe fn bind(&mut self, name: &str, function: *const c_void) -> Result<(), UnknownHostcall> {
        let id = find(name).ok_or_else(|| UnknownHostcall(name.to_owned()))?;
        self.functions[id as usize] = function;
        Ok(())
    }

    /// Whether a hostcall is bound.
    pub fn has(&self, name: &str) -> bool {
        find(name).is_some_and(|id| !self.functions[id as usize].is_null())
    }

    pub(super) fn into_functions(self) -> [*const c_void; HOSTCALLS.len()] {
        self.functions
    }
}

/// A hostcall by its name.
pub(super) fn find(name: &str) -> Option<HostcallId> {
    HostcallId::ALL.iter().copied().find(|id| id.describe().name == name)
}
