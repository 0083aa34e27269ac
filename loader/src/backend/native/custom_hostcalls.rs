//! Hostcalls that the embedder brings ([`raw`](crate::image)): where a plugin's calls go instead of to the loader's own.

use std::cell::Cell;
use std::ffi::c_void;

use dynvm_abi::table::{HOSTCALLS, HostcallId, Type};
use dynvm_abi::types::{LogLevel, Status};

use super::address_check;
use crate::error::FailureKind;
use crate::instance::InstanceState;

/// Decides whether a hostcall may be made while the plugin is restricted.
pub(crate) type MayCall = Box<dyn Fn(HostcallId) -> bool>;

/// The embedder's functions, one for each hostcall.
pub(crate) struct CustomHostcalls {
    functions: [*const c_void; HOSTCALLS.len()],
    may_call: Option<MayCall>,
    state: Cell<State>,
}

/// What hostcalls are made now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// All.
    Open,
    /// Those that `may_call` allows.
    Restricted,
    /// None: destructors run, outside of any call of the embedder's. What they log goes to the VM's log.
    Ending,
}

impl CustomHostcalls {
    /// Functions of the type that `Hostcalls::bind` asks for; null for one that the plugin does not call.
    pub(crate) fn new(functions: [*const c_void; HOSTCALLS.len()], may_call: Option<MayCall>) -> CustomHostcalls {
        CustomHostcalls { functions, may_call, state: Cell::new(State::Open) }
    }

    /// Restricts the plugin, or not. Returns what was before.
    #[inline]
    pub(crate) fn restrict(&self, restricted: bool) -> bool {
        let wanted = if restricted { State::Restricted } else { State::Open };
        let before = self.state.get();
        if before != wanted {
            self.state.set(wanted);
        }
        before == State::Restricted
    }

    /// The VM ends: no function of the embedder's is called any more.
    pub(super) fn end(&self) {
        self.state.set(State::Ending);
    }

    /// Makes a hostcall, if the plugin may and what it points to is memory.
    #[inline]
    pub(super) fn call<const COUNT: usize>(
        &self,
        state: &InstanceState,
        id: HostcallId,
        mut arguments: [u64; COUNT],
        take: impl FnOnce(&mut [u64; COUNT]) -> bool,
        call: impl FnOnce(*const c_void, [u64; COUNT]) -> u64,
    ) -> u32 {
        let function = self.functions[id as usize];
        if function.is_null() {
            // The plugin got it from the host's table: what it imports by name was bound when the VM was made.
            return Status::Unimplemented as u32;
        }
        if !take(&mut arguments) {
            return Status::InvalidMemoryAccess as u32;
        }
        if self.state.get() != State::Open
            && let Some(status) = self.answer(state, id, &arguments)
        {
            return status;
        }
        known(call(function, arguments) as u32)
    }

    /// The status of a hostcall that is not made.
    #[cold]
    fn answer(&self, state: &InstanceState, id: HostcallId, arguments: &[u64]) -> Option<u32> {
        match (self.state.get(), arguments) {
            (State::Ending, &[level, message, size]) if id == HostcallId::proxy_log => {
                let bytes: &[u8] = match size {
                    0 => &[],
                    // SAFETY: it was looked at: these bytes can be read.
                    _ => unsafe { std::slice::from_raw_parts(message as *const u8, size as usize) },
                };
                state.log(LogLevel::from_u32(level as u32).unwrap_or(LogLevel::Critical), bytes);
                Some(Status::Ok as u32)
            }
            (State::Ending, _) => Some(Status::InternalFailure as u32),
            _ if self.may_call.as_ref().is_none_or(|may_call| may_call(id)) => None,
            _ => {
                let name = id.describe().name;
                state
                    .fail_with(FailureKind::Restricted, format!("the plugin called {name}, which it may not call now"));
                Some(Status::InternalFailure as u32)
            }
        }
    }
}

/// Takes one argument of a hostcall as a plugin passes it: what the ABI leaves undefined is cut off. False if it is an address of what cannot be
/// accessed. The type is a constant wherever this is called, so that each hostcall gets straight code.
#[inline(always)]
pub(super) fn take<const COUNT: usize>(ty: Type, arguments: &mut [u64; COUNT], index: usize) -> bool {
    let raw = arguments[index];
    arguments[index] = ty.defined_bits(raw);
    match ty {
        // An address stands before its size.
        Type::Ptr => {
            let size = arguments[index + 1];
            size == 0 || address_check::readable(raw, size)
        }
        Type::OutU32 => address_check::writable(raw, 4),
        Type::OutU64 | Type::OutPtr | Type::OutSize => address_check::writable(raw, 8),
        _ => true,
    }
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
        let mut arguments = [garbage | 3, garbage | 4, garbage | 0x100, garbage | 5];
        assert!(
            take(Type::U32, &mut arguments, 0)
                && take(Type::Size32, &mut arguments, 1)
                && take(Type::Bool, &mut arguments, 2)
        );
        assert!(take(Type::U64, &mut arguments, 3));
        assert_eq!(arguments, [3, 4, 0, garbage | 5], "of a bool the low byte counts");
    }

    #[test]
    fn addresses() {
        assert!(take(Type::Ptr, &mut [0, 0], 0), "null, no byte");
        assert!(!take(Type::Ptr, &mut [0, 1], 0));
        let mut place = 0u64;
        assert!(take(Type::OutU64, &mut [&raw mut place as u64], 0));
        assert!(!take(Type::OutU64, &mut [0], 0));
    }
}
