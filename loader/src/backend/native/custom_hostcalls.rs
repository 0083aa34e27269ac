//! Hostcalls that the embedder brings ([`raw`](crate::image)): where a plugin's calls go instead of to the loader's own.

use std::cell::Cell;
use std::ffi::c_void;

use dynvm_abi::table::{HOSTCALLS, HostcallId};
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

/// Takes one argument of a hostcall as a plugin passes it, by its type: what the ABI leaves undefined is cut off. False if it is an address of
/// what cannot be accessed. By name, for the table's macro: each is straight code in each hostcall.
pub(super) mod take {
    use super::address_check;

    macro_rules! low_half {
        ($($name:ident)*) => {
            $(
                #[inline(always)]
                pub(in super::super) fn $name<const COUNT: usize>(arguments: &mut [u64; COUNT], index: usize) -> bool {
                    arguments[index] = arguments[index] as u32 as u64;
                    true
                }
            )*
        };
    }

    macro_rules! as_it_is {
        ($($name:ident)*) => {
            $(
                #[inline(always)]
                pub(in super::super) fn $name<const COUNT: usize>(_: &mut [u64; COUNT], _: usize) -> bool {
                    true
                }
            )*
        };
    }

    macro_rules! place {
        ($($name:ident $bytes:literal)*) => {
            $(
                #[inline(always)]
                pub(in super::super) fn $name<const COUNT: usize>(arguments: &mut [u64; COUNT], index: usize) -> bool {
                    address_check::writable(arguments[index], $bytes)
                }
            )*
        };
    }

    low_half!(u32 i32 size32);
    as_it_is!(u64 i64 size);
    place!(out_u32 4 out_u64 8 out_ptr 8 out_size 8);

    #[inline(always)]
    pub(in super::super) fn bool<const COUNT: usize>(arguments: &mut [u64; COUNT], index: usize) -> bool {
        arguments[index] = u64::from(arguments[index] as u8 != 0);
        true
    }

    /// An address stands before its size.
    #[inline(always)]
    pub(in super::super) fn ptr<const COUNT: usize>(arguments: &mut [u64; COUNT], index: usize) -> bool {
        let size = arguments[index + 1];
        size == 0 || address_check::readable(arguments[index], size)
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
        assert!(take::u32(&mut arguments, 0) && take::size32(&mut arguments, 1) && take::bool(&mut arguments, 2));
        assert!(take::u64(&mut arguments, 3));
        assert_eq!(arguments, [3, 4, 0, garbage | 5], "of a bool the low byte counts");
    }

    #[test]
    fn addresses() {
        assert!(take::ptr(&mut [0, 0], 0), "null, no byte");
        assert!(!take::ptr(&mut [0, 1], 0));
        let mut place = 0u64;
        assert!(take::out_u64(&mut [&raw mut place as u64], 0));
        assert!(!take::out_u64(&mut [0], 0));
    }
}
