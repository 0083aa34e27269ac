//! The memory of a native plugin, as hostcalls reach it: the process's.

use dynvm_abi::types::Status;

use super::vm::Instance;
use super::{address_check, heap};
use crate::instance::{Addr, Guest};

/// The memory of a native plugin: the process's.
pub(super) struct NativeGuest<'a> {
    allocator: Allocator<'a>,
}

/// Where memory for the plugin comes from.
enum Allocator<'a> {
    Instance(&'a Instance),
    /// On a thread of the plugin's own: its allocator, or the C library's.
    Thread(Option<usize>),
}

impl<'a> NativeGuest<'a> {
    pub(super) fn new(instance: &'a Instance) -> NativeGuest<'a> {
        NativeGuest { allocator: Allocator::Instance(instance) }
    }

    pub(super) fn of_thread(allocator: Option<usize>) -> NativeGuest<'a> {
        NativeGuest { allocator: Allocator::Thread(allocator) }
    }
}

impl Guest for NativeGuest<'_> {
    const WIDE: bool = size_of::<usize>() == 8;

    #[inline]
    fn read(&self, addr: Addr, len: u64) -> Result<&[u8], Status> {
        if len == 0 {
            return Ok(&[]);
        }
        if len > isize::MAX as u64 || !address_check::readable(addr.0, len) {
            return Err(Status::InvalidMemoryAccess);
        }
        // SAFETY: it can be read; a trusted plugin passes memory of its own, which it does not change before the hostcall returns.
        Ok(unsafe { std::slice::from_raw_parts(addr.0 as *const u8, len as usize) })
    }

    #[inline]
    fn slice_mut(&mut self, addr: Addr, len: usize) -> Result<&mut [u8], Status> {
        if !address_check::writable(addr.0, len as u64) {
            return Err(Status::InvalidMemoryAccess);
        }
        // SAFETY: it can be written to; a trusted plugin passes a place of its own, or it is what its allocator gave.
        Ok(unsafe { std::slice::from_raw_parts_mut(addr.0 as *mut u8, len) })
    }

    fn allocate(&mut self, len: usize) -> Result<Addr, Status> {
        let instance = match self.allocator {
            Allocator::Instance(instance) => instance,
            Allocator::Thread(allocator) => return allocate_on_thread(allocator, len),
        };
        let address = match instance.allocator {
            Some(function) => {
                // The allocator is the plugin's code.
                instance.in_host.set(false);
                // SAFETY: the plugin exports this function, which takes a size.
                let returned = unsafe { instance.call(function, [len as u64, 0, 0, 0, 0]) };
                instance.in_host.set(true);
                returned.map_err(|failure| {
                    instance.state().fail(failure);
                    Status::InternalFailure
                })?
            }
            None => heap::allocate(instance, len) as u64,
        };
        if address == 0 { Err(Status::InvalidMemoryAccess) } else { Ok(Addr(address)) }
    }
}

/// Memory from the plugin's allocator on a thread of its own, where nothing is guarded.
fn allocate_on_thread(allocator: Option<usize>, len: usize) -> Result<Addr, Status> {
    let address = match allocator {
        Some(function) => {
            // SAFETY: the plugin exports this function, which takes a size. Its image stays mapped, as it starts threads.
            let function: unsafe extern "C" fn(usize) -> u64 = unsafe { std::mem::transmute(function) };
            // SAFETY: as above.
            unsafe { function(len) }
        }
        // SAFETY: any size may be asked for.
        None => unsafe { libc::malloc(len) as u64 },
    };
    if address == 0 { Err(Status::InvalidMemoryAccess) } else { Ok(Addr(address)) }
}
