//! Buffers: bodies, connection data, configurations, what a call delivered.

use dynvm_abi::table::CallbackId;
use dynvm_abi::types::{BufferType, Status};

use super::Answer;
use crate::host::Buffer;
use crate::vm::{Addr, DeliveryKind, Guest, Out, VmCell, return_bytes, return_with};

pub(super) fn proxy_get_buffer_bytes<G: Guest>(
    guest: &mut G,
    cell: &VmCell,
    buffer_type: u32,
    start: u32,
    max_size: u32,
    data: Addr,
    size: Addr,
) -> Answer {
    let buffer_type = BufferType::from_u32(buffer_type).ok_or(Status::BadArgument)?;
    let out = Out { data, size };
    with_buffer(cell, buffer_type, |buffer| {
        let start = (start as usize).min(buffer.len());
        let length = (max_size as usize).min(buffer.len() - start);
        return_with(guest, cell, out, length, |target| buffer.copy_to(start, target))
    })
}

pub(super) fn proxy_set_buffer_bytes<G: Guest>(
    guest: &mut G,
    cell: &VmCell,
    buffer_type: u32,
    start: u32,
    size: u32,
    data: Addr,
    data_size: u64,
) -> Answer {
    let buffer_type = BufferType::from_u32(buffer_type).ok_or(Status::BadArgument)?;
    if is_read_only(buffer_type) {
        return with_buffer(cell, buffer_type, |_| Err(Status::BadArgument));
    }
    let mut contexts = cell.contexts.borrow_mut();
    let buffer = contexts
        .stream_mut(cell.effective.get())
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
    cell: &VmCell,
    buffer_type: u32,
    size: Addr,
    flags: Addr,
) -> Answer {
    let buffer_type = BufferType::from_u32(buffer_type).ok_or(Status::BadArgument)?;
    with_buffer(cell, buffer_type, |buffer| {
        guest.write_size(size, buffer.len() as u64)?;
        guest.write_u32(flags, 0)
    })
}

/// ABI 0.1.0: the VM's configuration inside of `proxy_on_vm_start`, else the plugin's.
pub(super) fn proxy_get_configuration<G: Guest>(guest: &mut G, cell: &VmCell, data: Addr, size: Addr) -> Answer {
    let out = Out { data, size };
    if cell.callback.get() == Some(CallbackId::proxy_on_vm_start) {
        return return_bytes(guest, cell, out, &cell.config.configuration);
    }
    with_buffer(cell, BufferType::PluginConfiguration, |buffer| {
        return_with(guest, cell, out, buffer.len(), |target| buffer.copy_to(0, target))
    })
}

/// Whether a buffer is never the plugin's to change: where it can be read, writing is `BadArgument`, as in Envoy.
fn is_read_only(buffer_type: BufferType) -> bool {
    use BufferType::{CallData, GrpcReceiveBuffer, HttpCallResponseBody, PluginConfiguration, VmConfiguration};
    matches!(buffer_type, VmConfiguration | PluginConfiguration | HttpCallResponseBody | GrpcReceiveBuffer | CallData)
}

/// Finds a buffer to read.
fn with_buffer(cell: &VmCell, buffer_type: BufferType, f: impl FnOnce(&dyn Buffer) -> Answer) -> Answer {
    let delivered = |kind| cell.delivery.borrow().kind == Some(kind);
    match buffer_type {
        BufferType::VmConfiguration if cell.config.host.no_vm_configuration => Err(Status::NotFound),
        BufferType::VmConfiguration => f(&cell.config.configuration),
        BufferType::PluginConfiguration => {
            let config = {
                let contexts = cell.contexts.borrow();
                let (_, root) = contexts.root_of(cell.effective.get()).ok_or(Status::NotFound)?;
                root.config.clone()
            };
            f(&config.configuration)
        }
        BufferType::HttpCallResponseBody if delivered(DeliveryKind::HttpCall) => f(&cell.delivery.borrow().http_body),
        BufferType::GrpcReceiveBuffer if delivered(DeliveryKind::GrpcMessage) => {
            f(&cell.delivery.borrow().grpc_message)
        }
        BufferType::CallData if delivered(DeliveryKind::ForeignCall) => f(&cell.delivery.borrow().call_data),
        _ => {
            let contexts = cell.contexts.borrow();
            let stream = contexts.stream(cell.effective.get()).ok_or(Status::NotFound)?;
            f(stream.stream.buffer(buffer_type).ok_or(Status::NotFound)?)
        }
    }
}
