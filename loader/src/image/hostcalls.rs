//! Hostcalls implemented by an embedder.

use std::ffi::c_void;

use dynvm_abi::table::{HOSTCALLS, HostcallId};

use crate::backend::native::custom_hostcalls::{Functions, MAX_OWN, MAX_PARAMETERS, OwnHostcall};

/// The functions that implement a plugin's hostcalls.
#[derive(Clone)]
pub struct Hostcalls(pub(super) Functions);

/// A hostcall that cannot be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// No version of the ABI has a hostcall of this name.
    #[error("{0}: no Proxy-Wasm ABI has this hostcall")]
    Unknown(String),
    /// Names that begin with `proxy_` belong to the ABI, and shorter ones cannot be bound.
    #[error("{0}: a hostcall of the host's own has a name of at least 4 letters that does not begin with proxy_")]
    Name(String),
    /// A hostcall with too many parameters, or one too many.
    #[error("{0}: a host brings at most {MAX_OWN} hostcalls, of at most {MAX_PARAMETERS} parameters")]
    TooMany(String),
}

impl Default for Hostcalls {
    /// A table without hostcalls.
    fn default() -> Self {
        Hostcalls(Functions { table: [std::ptr::null(); HOSTCALLS.len()], own: Vec::new() })
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
    pub unsafe fn bind(&mut self, name: &str, function: *const c_void) -> Result<(), BindError> {
        let id = find(name).ok_or_else(|| BindError::Unknown(name.to_owned()))?;
        self.0.table[id as usize] = function;
        Ok(())
    }

    /// Binds a function that no ABI has: an undefined symbol of the plugin with this name, even if
    /// a library defines it. The function's parameters are integers or addresses, and it gets what
    /// the plugin passed: the loader knows neither widths nor meanings, so the upper half of a
    /// 32-bit argument is undefined, and addresses are not checked.
    ///
    /// # Errors
    ///
    /// The name, or the number of parameters or of such hostcalls.
    ///
    /// # Safety
    ///
    /// The function takes this many integers or addresses, returns one or nothing, checks the
    /// addresses, does not unwind, and outlives the VMs that call it.
    pub unsafe fn bind_own(&mut self, name: &str, parameters: usize, function: *const c_void) -> Result<(), BindError> {
        if name.len() < 4 || name.starts_with("proxy_") {
            return Err(BindError::Name(name.to_owned()));
        }
        self.0.own.retain(|own| own.name != name);
        if parameters > MAX_PARAMETERS || self.0.own.len() == MAX_OWN {
            return Err(BindError::TooMany(name.to_owned()));
        }
        self.0.own.push(OwnHostcall { name: name.to_owned(), parameters, function });
        Ok(())
    }

    /// True if a hostcall is bound.
    pub fn has(&self, name: &str) -> bool {
        find(name).is_some_and(|id| !self.0.table[id as usize].is_null())
            || self.0.own.iter().any(|own| own.name == name)
    }
}

/// The hostcall with this name.
pub(super) fn find(name: &str) -> Option<HostcallId> {
    HostcallId::ALL.iter().copied().find(|id| id.describe().name == name)
}
