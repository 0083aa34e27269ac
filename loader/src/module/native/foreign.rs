//! Hostcalls that the embedder brings ([`raw`](crate::raw)): where a plugin's calls go instead of to the loader's own.

use std::cell::Cell;
use std::ffi::c_void;

use dynvm_abi::table::{HOSTCALLS, HostcallId, Type};
use dynvm_abi::types::Status;

use super::probe;
use crate::error::FailureKind;
use crate::vm::VmCell;

/// Decides whether a hostcall may be made while the plugin is restricted.
pub(crate) type MayCall = Box<dyn Fn(HostcallId) -> bool>;

/// The embedder's functions, one for each hostcall.
pub(crate) struct Foreign {
    functions: [*const c_void; HOSTCALLS.len()],
    may_call: Option<MayCall>,
    /// Whether it has to be asked.
    restricted: Cell<bool>,
}

impl Foreign {
    /// Functions of the type that `Hostcalls::bind` asks for; null for one that the plugin does not call.
    pub(crate) fn new(functions: [*const c_void; HOSTCALLS.len()], may_call: Option<MayCall>) -> Foreign {
        Foreign { functions, may_call, restricted: Cell::new(false) }
    }

    /// Restricts the plugin, or not. Returns what was before.
    #[inline]
    pub(crate) fn restrict(&self, restricted: bool) -> bool {
        self.restricted.replace(restricted)
    }

    /// Makes a hostcall, if the plugin may and what it points to is memory.
    #[inline]
    pub(super) fn call<const COUNT: usize>(
        &self,
        cell: &VmCell,
        id: HostcallId,
        mut arguments: [u64; COUNT],
        call: impl FnOnce(*const c_void, [u64; COUNT]) -> u64,
    ) -> u32 {
        let function = self.functions[id as usize];
        if function.is_null() {
            // The plugin got it from the host's table: what it imports by name was bound when the VM was made.
            return Status::Unimplemented as u32;
        }
        if self.restricted.get() && !self.may_call.as_ref().is_none_or(|may_call| may_call(id)) {
            return refuse(cell, id);
        }
        if !take(id, &mut arguments) {
            return Status::InvalidMemoryAccess as u32;
        }
        known(call(function, arguments) as u32)
    }
}

#[cold]
fn refuse(cell: &VmCell, id: HostcallId) -> u32 {
    let name = id.describe().name;
    cell.fail_with(FailureKind::Restricted, format!("the plugin called {name}, which it may not call now"));
    Status::InternalFailure as u32
}

/// Cuts off what the ABI leaves undefined. False if an address is not one of memory that can be accessed.
#[inline(always)]
fn take<const COUNT: usize>(id: HostcallId, arguments: &mut [u64; COUNT]) -> bool {
    let params = HOSTCALLS[id as usize].params;
    let mut index = 0;
    while index < COUNT {
        let value = arguments[index];
        let accessible = match params[index].ty {
            Type::U32 | Type::I32 | Type::Size32 => {
                arguments[index] = u64::from(value as u32);
                true
            }
            Type::Bool => {
                arguments[index] = u64::from(value as u8 != 0);
                true
            }
            // An address stands before its size.
            Type::Ptr => arguments[index + 1] == 0 || probe::readable(value, arguments[index + 1]),
            Type::OutU32 => probe::writable(value, 4),
            Type::OutPtr | Type::OutSize | Type::OutU64 => probe::writable(value, 8),
            _ => true,
        };
        if !accessible {
            return false;
        }
        index += 1;
    }
    true
}

/// The embedder's status, if every SDK knows it: in the Rust SDK's type others are undefined behaviour.
#[inline]
fn known(status: u32) -> u32 {
    const FOREIGN_TO_SDKS: u64 = 1 << Status::BadExpression as u32
        | 1 << Status::ResultMismatch as u32
        | 1 << Status::BrokenConnection as u32
        | 1 << Status::Unimplemented as u32;
    if status > Status::Unimplemented as u32 || FOREIGN_TO_SDKS >> status & 1 != 0 {
        return Status::InternalFailure as u32;
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_that_sdks_do_not_know() {
        for status in [Status::Ok, Status::NotFound, Status::Empty, Status::CasMismatch, Status::InternalFailure] {
            assert_eq!(known(status as u32), status as u32);
        }
        for status in [5, 9, 11, 12, 13, 64, u32::MAX] {
            assert_eq!(known(status), Status::InternalFailure as u32, "{status}");
        }
    }

    #[test]
    fn undefined_bits_are_cut_off() {
        let garbage = 0xdead_beef_0000_0000_u64;
        let mut arguments = [garbage | 3];
        assert!(take(HostcallId::proxy_set_tick_period_milliseconds, &mut arguments));
        assert_eq!(arguments, [3]);
        let mut arguments = [garbage | 1, 0, 0, garbage | 0x100];
        assert!(take(HostcallId::proxy_grpc_send, &mut arguments));
        assert_eq!(arguments, [1, 0, 0, 0], "of a bool the low byte counts");
    }

    #[test]
    fn addresses() {
        assert!(take(HostcallId::proxy_log, &mut [0, 0, 0]), "null, no byte");
        assert!(!take(HostcallId::proxy_log, &mut [0, 0, 1]));
        let place = 0u64;
        assert!(take(HostcallId::proxy_get_current_time_nanoseconds, &mut [&raw const place as u64]));
        assert!(!take(HostcallId::proxy_get_current_time_nanoseconds, &mut [0]));
    }
}
