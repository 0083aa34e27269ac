//! Hostcalls for buffers: bodies, connection data, configurations, and data delivered by a call.

use dynvm_abi::table::CallbackId;
use dynvm_abi::types::{BufferType, Status};

use super::Answer;
use crate::host::Buffer;
use crate::instance::{Addr, DeliveryKind, Guest, InstanceState, Out, return_bytes, return_with};

pub(super) fn proxy_get_buffer_bytes<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    buffer_type: u32,
    start: u32,
    max_size: u32,
    data: Addr,
    size: Addr,
) -> Answer {
    let buffer_type = BufferType::from_u32(buffer_type).ok_or(Status::BadArgument)?;
    let out = Out { data, size };
    with_buffer(state, buffer_type, |buffer| {
        let start = (start as usize).min(buffer.len());
        let length = (max_size as usize).min(buffer.len() - start);
        return_with(guest, state, out, length, |target| buffer.copy_to(start, target))
    })
}

pub(super) fn proxy_set_buffer_bytes<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    buffer_type: u32,
    start: u32,
    size: u32,
    data: Addr,
    data_size: u64,
) -> Answer {
    let buffer_type = BufferType::from_u32(buffer_type).ok_or(Status::BadArgument)?;
    if is_read_only(buffer_type) {
        return with_buffer(state, buffer_type, |_| Err(Status::BadArgument));
    }
    let mut contexts = state.contexts.borrow_mut();
    let buffer = contexts
        .stream_mut(state.effective.get())
        .and_then(|stream| stream.stream.buffer_mut(buffer_type))
        .ok_or(Status::NotFound)?;
    let data = guest.read(data, data_size)?;
    let start = (start as usize).min(buffer.len());
    let length = (size as usize).min(buffer.len() - start);
    buffer.replace(start, length, data);
    Ok(())
}

pub(super) fn proxy_get_buffer_status<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    buffer_type: u32,
    size: Addr,
    flags: Addr,
) -> Answer {
    let buffer_type = BufferType::from_u32(buffer_type).ok_or(Status::BadArgument)?;
    with_buffer(state, buffer_type, |buffer| {
        guest.write_size(size, buffer.len() as u64)?;
        guest.write_u32(flags, 0)
    })
}

/// ABI 0.1.0: returns the VM configuration inside `proxy_on_vm_start`, otherwise the plugin's.
pub(super) fn proxy_get_configuration<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    data: Addr,
    size: Addr,
) -> Answer {
    let out = Out { data, size };
    if state.callback.get() == Some(CallbackId::proxy_on_vm_start) {
        return return_bytes(guest, state, out, state.config.configuration.as_deref().unwrap_or_default());
    }
    with_buffer(state, BufferType::PluginConfiguration, |buffer| {
        return_with(guest, state, out, buffer.len(), |target| buffer.copy_to(0, target))
    })
}

/// True for buffers that a plugin can never change: writing to one returns `BadArgument`, as in
/// Envoy.
fn is_read_only(buffer_type: BufferType) -> bool {
    use BufferType::{CallData, GrpcReceiveBuffer, HttpCallResponseBody, PluginConfiguration, VmConfiguration};
    matches!(buffer_type, VmConfiguration | PluginConfiguration | HttpCallResponseBody | GrpcReceiveBuffer | CallData)
}

/// Finds a buffer and passes it to `f`, for reading.
fn with_buffer(state: &InstanceState, buffer_type: BufferType, f: impl FnOnce(&dyn Buffer) -> Answer) -> Answer {
    let delivered = |kind| state.delivery.borrow().kind == Some(kind);
    match buffer_type {
        BufferType::VmConfiguration => f(state.config.configuration.as_ref().ok_or(Status::NotFound)?),
        BufferType::PluginConfiguration => {
            let config = {
                let contexts = state.contexts.borrow();
                let (_, root) = contexts.root_of(state.effective.get()).ok_or(Status::NotFound)?;
                root.config.clone()
            };
            f(&config.configuration)
        }
        BufferType::HttpCallResponseBody if delivered(DeliveryKind::HttpCall) => f(&state.delivery.borrow().http_body),
        BufferType::GrpcReceiveBuffer if delivered(DeliveryKind::GrpcMessage) => {
            f(&state.delivery.borrow().grpc_message)
        }
        BufferType::CallData if delivered(DeliveryKind::ForeignCall) => f(&state.delivery.borrow().call_data),
        _ => {
            let contexts = state.contexts.borrow();
            let stream = contexts.stream(state.effective.get()).ok_or(Status::NotFound)?;
            f(stream.stream.buffer(buffer_type).ok_or(Status::NotFound)?)
        }
    }
}
