//! Hostcalls for shared data.

use dynvm_abi::types::Status;

use super::Answer;
use crate::instance::{Addr, Guest, InstanceState, Out, return_bytes};

pub(super) fn proxy_get_shared_data<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    key: Addr,
    key_size: u64,
    data: Addr,
    size: Addr,
    cas_out: Addr,
) -> Answer {
    let key = guest.read(key, key_size)?;
    let (value, cas) = state.services.shared_data.get(&state.config.vm_id, key).ok_or(Status::NotFound)?;
    return_bytes(guest, state, Out { data, size }, &value)?;
    guest.write_u32(cas_out, cas)
}

pub(super) fn proxy_set_shared_data<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    key: Addr,
    key_size: u64,
    value: Addr,
    value_size: u64,
    cas: u32,
) -> Answer {
    let (key, value) = (guest.read(key, key_size)?, guest.read(value, value_size)?);
    state.services.shared_data.set(&state.config.vm_id, key, value, cas).map_err(|_| Status::CasMismatch)
}
