//! The hostcalls, under the names by which plugins were linked.

use dynvm_abi::host::HostTable;
use dynvm_abi::table::HostcallId;
use dynvm_abi::types::Status;

use super::current;
use super::vm::Running;
use crate::hostcalls::dispatch;
use crate::instance::{Addr, Guest, InstanceState};

macro_rules! entry_points {
    ($($name:ident($($param:ident: $ty:ident),*) $versions:ident [$($status:ident)*];)*) => {
        $(
            // SAFETY: the prefix is the loader's.
            #[unsafe(export_name = concat!("dynvm_hc_", stringify!($name)))]
            extern "C" fn $name($($param: dynvm_abi::__native_type!($ty)),*) -> u32 {
                hostcall(HostcallId::$name, |guest, state| dispatch::$name(guest, state, $($param as u64),*))
            }
        )*

        /// The hostcalls as plugins take them that bind none by name.
        pub(super) static HOST: HostTable = HostTable { $($name,)* ..HostTable::UNIMPLEMENTED };
    };
}

dynvm_abi::hostcalls!(entry_points);

#[inline]
fn hostcall(id: HostcallId, call: impl FnOnce(&mut NullGuest<'_>, &InstanceState) -> Status) -> u32 {
    current::with(|running| {
        let Some(running) = running else { return without_vm(id) };
        let state = &running.state;
        state.run_host(id.describe().name, || call(&mut NullGuest(running), state)).unwrap_or(Status::InternalFailure)
    }) as u32
}

/// The answer to threads that a plugin started. Logging is dropped without an error, as the Rust SDK panics on one.
#[cold]
fn without_vm(id: HostcallId) -> Status {
    if id == HostcallId::proxy_log { Status::Ok } else { Status::InternalFailure }
}

/// The memory of a linked plugin: the process's.
struct NullGuest<'a>(&'a Running);

impl Guest for NullGuest<'_> {
    const WIDE: bool = size_of::<usize>() == 8;

    #[inline]
    fn read(&self, addr: Addr, len: u64) -> Result<&[u8], Status> {
        if len == 0 {
            return Ok(&[]);
        }
        if len > isize::MAX as u64 || addr.0 == 0 {
            return Err(Status::InvalidMemoryAccess);
        }
        // SAFETY: code of this program passes memory of its own, which it does not change before the hostcall returns.
        Ok(unsafe { std::slice::from_raw_parts(addr.0 as *const u8, len as usize) })
    }

    #[inline]
    fn slice_mut(&mut self, addr: Addr, len: usize) -> Result<&mut [u8], Status> {
        if addr.0 == 0 {
            return Err(Status::InvalidMemoryAccess);
        }
        // SAFETY: code of this program passes a place of its own, or it is what its allocator gave.
        Ok(unsafe { std::slice::from_raw_parts_mut(addr.0 as *mut u8, len) })
    }

    fn allocate(&mut self, len: usize) -> Result<Addr, Status> {
        match self.0.allocate(len) {
            0 => Err(Status::InvalidMemoryAccess),
            address => Ok(Addr(address)),
        }
    }
}
