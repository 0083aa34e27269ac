//! The hostcalls as plugins call them: C functions that find the running VM.

use std::ffi::c_void;

use dynvm_abi::host::HostTable;
#[cfg(feature = "native")]
use dynvm_abi::table::HOSTCALLS;
use dynvm_abi::table::HostcallId;
use dynvm_abi::types::Status;

use super::crash_cause::Cause;
#[cfg(feature = "native")]
use super::custom_hostcalls::call_own;
use super::custom_hostcalls::take;
#[cfg(feature = "native")]
use super::direct_hostcalls;
use super::guest::NativeGuest;
use super::vm::Instance;
use super::{door, process_exit, thread_context};
use crate::hostcalls::dispatch;
use crate::instance::InstanceState;

/// The address of a hostcall's entry: one for VMs whose embedder brings hostcalls, or the one for all.
#[cfg(feature = "native")]
pub(super) fn find(name: &str, direct: bool) -> Option<usize> {
    match name {
        "proxy_dyn_get_thread_context" => return Some(thread_context::get as *const () as usize),
        "proxy_dyn_set_limited_thread_context" => return Some(thread_context::set_limited as *const () as usize),
        _ => {}
    }
    let index = HOSTCALLS.iter().position(|hostcall| hostcall.name == name)?;
    let direct = if direct { direct_hostcalls::entry(index) } else { None };
    Some(direct.unwrap_or(ENTRIES[index].0 as usize))
}

/// The address of a function.
#[cfg(feature = "native")]
#[derive(Clone, Copy)]
struct Entry(*const c_void);

// SAFETY: addresses of functions, which any thread may call.
#[cfg(feature = "native")]
unsafe impl Sync for Entry {}

/// The embedder's functions take every argument in 64 bits.
macro_rules! foreign_type {
    ($param:ident) => {
        u64
    };
}

macro_rules! entry_points {
    ($($name:ident($($param:ident: $ty:ident),*) $versions:ident [$($status:ident)*];)*) => {
        $(
            // SAFETY: the prefix is the loader's.
            #[cfg_attr(feature = "null", unsafe(export_name = concat!("dynvm_hc_", stringify!($name))))]
            pub(super) extern "C" fn $name($($param: dynvm_abi::__native_type!($ty)),*) -> u32 {
                hostcall(
                    HostcallId::$name,
                    [$($param as u64),*],
                    |guest, state, [$($param),*]| dispatch::$name(guest, state, $($param),*),
                    |_arguments, _check| {
                        let mut _index = 0;
                        true $(&& {
                            _index += 1;
                            take(dynvm_abi::__type!($ty), _arguments, _index - 1, _check)
                        })*
                    },
                    |function, [$($param),*]| {
                        type Function = unsafe extern "C" fn($(foreign_type!($param)),*) -> u64;
                        // SAFETY: the embedder's promise (`raw::Hostcalls::bind`): this is the function's type.
                        unsafe { std::mem::transmute::<*const c_void, Function>(function)($($param),*) }
                    },
                )
            }
        )*

        /// The hostcalls as plugins take them that bind none by name.
        pub(super) static HOST: HostTable = HostTable { $($name,)* ..HostTable::UNIMPLEMENTED };

        /// In the order of the table.
        #[cfg(feature = "native")]
        static ENTRIES: [Entry; HOSTCALLS.len()] = [$(Entry($name as *const c_void)),*];
    };
}

dynvm_abi::hostcalls!(entry_points);

/// The number of hostcalls of the embedder's own.
pub(super) const SLOTS: usize = 16;

/// The address of the entry of such a hostcall.
#[cfg(feature = "native")]
pub(super) fn own(slot: usize) -> Option<usize> {
    macro_rules! entries {
        ($($slot:literal)*) => { [$(Entry(own_entry::<$slot> as *const c_void)),*] };
    }
    static OWN: [Entry; SLOTS] = entries!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    Some(OWN.get(slot)?.0 as usize)
}

/// Takes as many arguments as such a hostcall may have: those that the plugin did not pass are registers and words of its frame, of any value.
#[cfg(feature = "native")]
extern "C" fn own_entry<const SLOT: usize>(
    a: u64,
    b: u64,
    c: u64,
    d: u64,
    e: u64,
    f: u64,
    g: u64,
    h: u64,
    i: u64,
    j: u64,
    k: u64,
    l: u64,
) -> u64 {
    call_own(SLOT, &[a, b, c, d, e, f, g, h, i, j, k, l])
}

/// What the plugin gets from a hostcall. If the VM failed in it, does not return to the plugin.
#[cfg(feature = "native")]
pub(super) fn returned(instance: &Instance, result: u64) -> u64 {
    if instance.state().has_failed() {
        leave(instance, Status::InternalFailure as u32);
    }
    result
}

/// Makes a hostcall for the running instance: of the loader's own, or of the embedder's. If the VM fails in it, does not return to the
/// plugin.
#[inline]
fn hostcall<const COUNT: usize>(
    id: HostcallId,
    arguments: [u64; COUNT],
    own: impl FnOnce(&mut NativeGuest<'_>, &InstanceState, [u64; COUNT]) -> Status,
    take: impl FnOnce(&mut [u64; COUNT], bool) -> bool,
    foreign: impl FnOnce(*const c_void, [u64; COUNT]) -> u64,
) -> u32 {
    let Some(instance) = door::caller() else {
        return thread_context::hostcall(id, |guest, state| own(guest, state, arguments)) as u32;
    };
    let state = instance.state();
    let status = door::enter(instance, id.describe().name, || match &instance.foreign {
        None => own(&mut NativeGuest::new(instance), state, arguments) as u32,
        Some(table) => table.call(state, id, arguments, take, foreign),
    });
    match status {
        Ok(OK) => OK,
        Ok(status) if !state.has_failed() => status,
        Ok(status) => leave(instance, status),
        Err(door::Refused) => Status::InternalFailure as u32,
    }
}

const OK: u32 = Status::Ok as u32;

/// Leaves the callback of a VM that failed inside a hostcall; where it cannot be left, the plugin gets an error status instead.
#[cold]
fn leave(instance: &Instance, status: u32) -> u32 {
    // SAFETY: the plugin called; between here and its guarded call are its frames, and that of its hostcall, which has nothing to drop.
    unsafe { process_exit::leave(instance, Cause::Hostcall) }
    status
}
