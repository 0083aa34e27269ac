//! Access of hostcalls to a plugin's memory: the only difference between the backends that a
//! hostcall sees.

use dynvm_abi::types::Status;

use super::state::{InstanceState, Phase};

/// An address in the plugin's memory: an offset in linear memory on wasm, a pointer natively.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addr(pub(crate) u64);

/// The plugin's memory during one hostcall.
///
/// Every access is checked as far as the backend can: wasm checks bounds, native refuses null.
pub(crate) trait Guest {
    /// The bytes at an address. Empty for length 0, whatever the address.
    fn read(&self, addr: Addr, len: u64) -> Result<&[u8], Status>;

    /// The bytes at an address, for writing.
    fn slice_mut(&mut self, addr: Addr, len: usize) -> Result<&mut [u8], Status>;

    /// Allocates memory with the plugin's own allocator; never null.
    ///
    /// Runs code of the plugin. If that fails the VM, the failure is in the state and the caller
    /// must return to the plugin at once.
    fn allocate(&mut self, len: usize) -> Result<Addr, Status>;

    /// True if pointers and sizes in memory have 8 bytes, false if 4.
    const WIDE: bool;

    fn write_u32(&mut self, addr: Addr, value: u32) -> Result<(), Status> {
        self.slice_mut(addr, 4)?.copy_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn write_u64(&mut self, addr: Addr, value: u64) -> Result<(), Status> {
        self.slice_mut(addr, 8)?.copy_from_slice(&value.to_le_bytes());
        Ok(())
    }

    /// Writes a `size_t` or a pointer in the plugin's width.
    fn write_size(&mut self, addr: Addr, value: u64) -> Result<(), Status> {
        if Self::WIDE { self.write_u64(addr, value) } else { self.write_u32(addr, value as u32) }
    }
}

/// Addresses of a returned value: of its pointer and of its size.
#[derive(Clone, Copy)]
pub(crate) struct Out {
    pub(crate) data: Addr,
    pub(crate) size: Addr,
}

/// Returns bytes to the plugin, in memory that the plugin then owns. An empty value allocates
/// nothing: pointer null, size 0.
pub(crate) fn return_bytes<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    out: Out,
    value: &[u8],
) -> Result<(), Status> {
    return_with(guest, state, out, value.len(), |target| target.copy_from_slice(value))
}

/// Like [`return_bytes`], for a value that is written in place.
pub(crate) fn return_with<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    out: Out,
    len: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Result<(), Status> {
    if len == 0 {
        // Both are written before any error is returned, because SDKs read both.
        guest.write_size(out.data, 0)?;
        return guest.write_size(out.size, 0);
    }
    let addr = {
        let _allocating = state.enter_phase(Phase::Allocating);
        guest.allocate(len)?
    };
    fill(guest.slice_mut(addr, len)?);
    guest.write_size(out.data, addr.0)?;
    guest.write_size(out.size, len as u64)
}
