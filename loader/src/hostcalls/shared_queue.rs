//! Hostcalls for shared queues.

use dynvm_abi::types::Status;

use super::Answer;
use crate::host::{Consumer, DequeueError};
use crate::instance::{Addr, Guest, InstanceState, Out, return_bytes};

pub(super) fn proxy_register_shared_queue<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    name: Addr,
    name_size: u64,
    queue_out: Addr,
) -> Answer {
    let root = state.context_id(state.effective_root().ok_or(Status::InternalFailure)?);
    let consumer = Consumer { root, waker: state.services.queue_waker.clone() };
    let name = guest.read(name, name_size)?;
    let queue = state.services.shared_queues.register(&state.config.vm_id, name, consumer);
    guest.write_u32(queue_out, queue)
}

pub(super) fn proxy_resolve_shared_queue<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    vm_id: Addr,
    vm_id_size: u64,
    name: Addr,
    name_size: u64,
    queue_out: Addr,
) -> Answer {
    let vm_id = String::from_utf8_lossy(guest.read(vm_id, vm_id_size)?);
    let vm_id = if vm_id.is_empty() { state.config.vm_id.as_str() } else { &vm_id };
    let name = guest.read(name, name_size)?;
    let queue = state.services.shared_queues.resolve(vm_id, name).ok_or(Status::NotFound)?;
    guest.write_u32(queue_out, queue)
}

pub(super) fn proxy_enqueue_shared_queue<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    queue: u32,
    value: Addr,
    value_size: u64,
) -> Answer {
    let value = guest.read(value, value_size)?;
    state.services.shared_queues.enqueue(queue, value).map_err(|_| Status::NotFound)
}

pub(super) fn proxy_dequeue_shared_queue<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    queue: u32,
    data: Addr,
    size: Addr,
) -> Answer {
    let value = state.services.shared_queues.dequeue(queue).map_err(|error| match error {
        DequeueError::Empty => Status::Empty,
        DequeueError::UnknownQueue => Status::NotFound,
    })?;
    return_bytes(guest, state, Out { data, size }, &value)
}
