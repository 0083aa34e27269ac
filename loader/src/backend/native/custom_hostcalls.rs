//! Hostcalls that the embedder brings ([`raw`](crate::image)): where a plugin's calls go instead of to the loader's own.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_void};

use dynvm_abi::table::{HOSTCALLS, HostcallId, Type};
use dynvm_abi::types::{LogLevel, Status};

#[cfg(feature = "native")]
use super::door;
use super::{address_check, hostcall_entries};
use crate::error::FailureKind;
use crate::instance::InstanceState;

/// Decides by its name whether a hostcall may be made while the plugin is restricted.
pub type MayCall = Box<dyn Fn(&str) -> bool>;

/// Receives a hostcall of a traced call: its name and arguments, first without a result, then with it.
pub type Trace = Box<dyn Fn(&str, &[u64], Option<u64>)>;

/// Looks up an environment variable. The value lives as long as the VM.
pub type Variables = Box<dyn Fn(&CStr) -> Option<*const c_char>>;

/// The embedder's functions.
#[derive(Clone)]
pub(crate) struct Functions {
    /// One for each hostcall of the ABI; null for one that the plugin does not call.
    pub(crate) table: [*const c_void; HOSTCALLS.len()],
    /// Those that no ABI has.
    pub(crate) own: Vec<OwnHostcall>,
}

/// A hostcall of the embedder's own, which no ABI has.
#[derive(Clone)]
pub(crate) struct OwnHostcall {
    pub(crate) name: String,
    #[cfg_attr(not(feature = "native"), expect(dead_code, reason = "linked plugins cannot call them"))]
    pub(crate) parameters: usize,
    #[cfg_attr(not(feature = "native"), expect(dead_code, reason = "linked plugins cannot call them"))]
    pub(crate) function: *const c_void,
}

/// The number of hostcalls of the embedder's own.
pub(crate) const MAX_OWN: usize = hostcall_entries::SLOTS;
/// The number of parameters of such a hostcall.
pub(crate) const MAX_PARAMETERS: usize = 12;

/// Hostcalls that go to the embedder.
pub(crate) struct CustomHostcalls {
    functions: Functions,
    may_call: Option<MayCall>,
    trace: Option<Trace>,
    environment: Option<Variables>,
    checks_addresses: bool,
    mode: Cell<Mode>,
}

/// How hostcalls are made now: a set of the constants.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode(u8);

impl Mode {
    /// All are made, and nothing more.
    const OPEN: Mode = Mode(0);
    /// Those are made that `may_call` allows.
    const RESTRICTED: Mode = Mode(1);
    /// `trace` receives each.
    const TRACED: Mode = Mode(2);
    /// None is made: destructors run, outside of any call of the embedder's. What they log goes to the VM's log.
    pub(super) const ENDING: Mode = Mode(4);

    pub(crate) fn of(restricted: bool, traced: bool) -> Mode {
        let restricted = if restricted { Mode::RESTRICTED } else { Mode::OPEN };
        let traced = if traced { Mode::TRACED } else { Mode::OPEN };
        Mode(restricted.0 | traced.0)
    }

    fn has(self, other: Mode) -> bool {
        self.0 & other.0 != 0
    }
}

impl CustomHostcalls {
    pub(crate) fn new(
        functions: Functions,
        may_call: Option<MayCall>,
        trace: Option<Trace>,
        environment: Option<Variables>,
        checks_addresses: bool,
    ) -> CustomHostcalls {
        CustomHostcalls { functions, may_call, trace, environment, checks_addresses, mode: Cell::new(Mode::OPEN) }
    }

    /// Changes how hostcalls are made. Returns how they were before.
    #[inline]
    pub(crate) fn enter(&self, mode: Mode) -> Mode {
        self.mode.replace(mode)
    }

    /// True if a hostcall is more than a call of the embedder's function with what the plugin passed.
    #[inline]
    pub(super) fn is_indirect(&self) -> bool {
        self.mode.get() != Mode::OPEN || self.checks_addresses
    }

    /// The embedder's function for each hostcall; null for those that the plugin does not import.
    #[cfg(all(feature = "native", target_os = "linux", target_arch = "x86_64"))]
    pub(super) fn table(&self) -> [*const c_void; HOSTCALLS.len()] {
        self.functions.table
    }

    /// The embedder's environment variable of this name.
    pub(super) fn variable(&self, name: &CStr) -> Option<*const c_char> {
        if self.mode.get() == Mode::ENDING { None } else { self.environment.as_ref()?(name) }
    }

    /// The symbols of a plugin that bind to functions of the embedder's own, in the order of their slots.
    pub(super) fn own_names(&self) -> Vec<&str> {
        self.functions.own.iter().map(|own| own.name.as_str()).collect()
    }

    /// Makes a hostcall, if the plugin may make it and its pointers are valid.
    #[inline]
    pub(super) fn call<const COUNT: usize>(
        &self,
        state: &InstanceState,
        id: HostcallId,
        mut arguments: [u64; COUNT],
        take: impl FnOnce(&mut [u64; COUNT], bool) -> bool,
        call: impl FnOnce(*const c_void, [u64; COUNT]) -> u64,
    ) -> u32 {
        let function = self.functions.table[id as usize];
        if function.is_null() {
            // The plugin got it from the host's table: what it imports by name was bound when the VM was made.
            return Status::Unimplemented as u32;
        }
        if !take(&mut arguments, self.checks_addresses) {
            return Status::InvalidMemoryAccess as u32;
        }
        if self.mode.get() != Mode::OPEN {
            let name = id.describe().name;
            let made = || u64::from(known(call(function, arguments) as u32));
            return self.call_watched(state, name, &arguments, made) as u32;
        }
        known(call(function, arguments) as u32)
    }

    /// Makes a hostcall that is restricted, traced, or too late.
    #[cold]
    fn call_watched(&self, state: &InstanceState, name: &str, arguments: &[u64], call: impl FnOnce() -> u64) -> u64 {
        let trace = self.trace.as_ref().filter(|_| self.mode.get().has(Mode::TRACED));
        if let Some(trace) = trace {
            trace(name, arguments, None);
        }
        let result = self.answer(state, name, arguments).map_or_else(call, u64::from);
        if let Some(trace) = trace {
            trace(name, arguments, Some(result));
        }
        result
    }

    /// The status of a hostcall that is not made.
    fn answer(&self, state: &InstanceState, name: &str, arguments: &[u64]) -> Option<u32> {
        match (self.mode.get(), arguments) {
            (Mode::ENDING, &[level, message, size]) if name == HostcallId::proxy_log.describe().name => {
                let bytes: &[u8] = match size {
                    0 => &[],
                    _ if !address_check::readable(message, size) => return Some(Status::InvalidMemoryAccess as u32),
                    // SAFETY: it was looked at: these bytes can be read.
                    _ => unsafe { std::slice::from_raw_parts(message as *const u8, size as usize) },
                };
                state.log(LogLevel::from_u32(level as u32).unwrap_or(LogLevel::Critical), bytes);
                Some(Status::Ok as u32)
            }
            (Mode::ENDING, _) => Some(Status::InternalFailure as u32),
            (mode, _) if !mode.has(Mode::RESTRICTED) => None,
            _ if self.may_call.as_ref().is_none_or(|may_call| may_call(name)) => None,
            _ => {
                state
                    .fail_with(FailureKind::Restricted, format!("the plugin called {name}, which it may not call now"));
                Some(Status::InternalFailure as u32)
            }
        }
    }
}

#[cfg(feature = "native")]
/// Calls the embedder's own hostcall in a slot, for the running instance.
pub(super) fn call_own(slot: usize, arguments: &[u64; MAX_PARAMETERS]) -> u64 {
    let Some((instance, table)) = door::caller().and_then(|instance| Some((instance, instance.foreign.as_ref()?)))
    else {
        return Status::InternalFailure as u64;
    };
    let Some(own) = table.functions.own.get(slot) else { return Status::Unimplemented as u64 };
    let call = || {
        type Function = unsafe extern "C" fn(u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64) -> u64;
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *arguments;
        // SAFETY: the embedder's promise (`Hostcalls::bind_own`): a function of integers. Those that it does not take are in registers
        // and stack slots that a C function ignores.
        unsafe { std::mem::transmute::<*const c_void, Function>(own.function)(a, b, c, d, e, f, g, h, i, j, k, l) }
    };
    let arguments = &arguments[..own.parameters];
    let state = instance.state();
    let result = door::enter(instance, &own.name, || match table.mode.get() {
        Mode::OPEN => call(),
        _ => table.call_watched(state, &own.name, arguments, call),
    });
    hostcall_entries::returned(instance, result.unwrap_or(Status::InternalFailure as u64))
}

/// Takes one argument of a hostcall as a plugin passes it: what the ABI leaves undefined is cut off. False if addresses are
/// checked and it is one of what cannot be accessed. The type is a constant wherever this is called, so that each hostcall gets straight code.
#[inline(always)]
pub(super) fn take<const COUNT: usize>(ty: Type, arguments: &mut [u64; COUNT], index: usize, check: bool) -> bool {
    let raw = arguments[index];
    arguments[index] = ty.defined_bits(raw);
    match ty {
        _ if !check => true,
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

/// The statuses that every SDK knows, a bit each: in the Rust SDK's type others are undefined behaviour.
pub(super) const KNOWN: u32 = {
    const UNKNOWN: [Status; 4] =
        [Status::BadExpression, Status::ResultMismatch, Status::BrokenConnection, Status::Unimplemented];
    let mut known = (1 << (Status::Unimplemented as u32 + 1)) - 1;
    let mut index = 0;
    while index < UNKNOWN.len() {
        known &= !(1 << UNKNOWN[index] as u32);
        index += 1;
    }
    known
};

/// The embedder's status, if every SDK knows it.
#[inline]
pub(super) fn known(status: u32) -> u32 {
    if status < u32::BITS && KNOWN >> status & 1 != 0 { status } else { Status::InternalFailure as u32 }
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
            take(Type::U32, &mut arguments, 0, true)
                && take(Type::Size32, &mut arguments, 1, true)
                && take(Type::Bool, &mut arguments, 2, true)
        );
        assert!(take(Type::U64, &mut arguments, 3, true));
        assert_eq!(arguments, [3, 4, 0, garbage | 5], "of a bool the low byte counts");
    }

    #[test]
    fn addresses() {
        assert!(take(Type::Ptr, &mut [0, 0], 0, true), "null, no byte");
        assert!(!take(Type::Ptr, &mut [0, 1], 0, true) && take(Type::Ptr, &mut [0, 1], 0, false));
        let mut place = 0u64;
        assert!(take(Type::OutU64, &mut [&raw mut place as u64], 0, true));
        assert!(!take(Type::OutU64, &mut [0], 0, true));
    }
}
