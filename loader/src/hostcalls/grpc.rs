//! Hostcalls for gRPC calls and streams, and for the status of the call being delivered.

use std::time::Duration;

use dynvm_abi::types::Status;

use super::Answer;
use crate::header_pairs;
use crate::host::{DispatchError, GrpcCall, GrpcSendError, GrpcTarget};
use crate::instance::{Addr, CallKind, Guest, InstanceState, Out, return_bytes};

#[expect(clippy::too_many_arguments, reason = "the ABI's")]
pub(super) fn proxy_grpc_call<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    upstream: Addr,
    upstream_size: u64,
    service: Addr,
    service_size: u64,
    method: Addr,
    method_size: u64,
    metadata: Addr,
    metadata_size: u64,
    message: Addr,
    message_size: u64,
    timeout: u32,
    token_out: Addr,
) -> Answer {
    let target = GrpcTarget {
        upstream: guest.read(upstream, upstream_size)?.to_vec(),
        service: guest.read(service, service_size)?.to_vec(),
        method: guest.read(method, method_size)?.to_vec(),
        initial_metadata: header_pairs::decode(guest.read(metadata, metadata_size)?).unwrap_or_default(),
    };
    let message = guest.read(message, message_size)?.to_vec();
    let timeout = Duration::from_millis(timeout.into());
    open(guest, state, CallKind::GrpcCall, target, Some(message), timeout, token_out)
}

#[expect(clippy::too_many_arguments, reason = "the ABI's")]
pub(super) fn proxy_grpc_stream<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    upstream: Addr,
    upstream_size: u64,
    service: Addr,
    service_size: u64,
    method: Addr,
    method_size: u64,
    metadata: Addr,
    metadata_size: u64,
    token_out: Addr,
) -> Answer {
    let target = GrpcTarget {
        upstream: guest.read(upstream, upstream_size)?.to_vec(),
        service: guest.read(service, service_size)?.to_vec(),
        method: guest.read(method, method_size)?.to_vec(),
        initial_metadata: header_pairs::decode(guest.read(metadata, metadata_size)?).unwrap_or_default(),
    };
    open(guest, state, CallKind::GrpcStream, target, None, Duration::ZERO, token_out)
}

fn open<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    kind: CallKind,
    target: GrpcTarget,
    message: Option<Vec<u8>>,
    timeout: Duration,
    token_out: Addr,
) -> Answer {
    let root = state.effective_root().ok_or(Status::InternalFailure)?;
    // Checked before the call is made, without a write: the plugin's value stays unchanged if the
    // call fails.
    guest.slice_mut(token_out, 4)?;
    let token = state.calls.borrow_mut().begin(kind, root);
    let call = GrpcCall { id: state.call_id(token), root: state.context_id(root), target, message, timeout };
    if let Err(error) = state.services.grpc_calls.open(call) {
        state.calls.borrow_mut().end(token);
        return Err(match error {
            DispatchError::BadArgument => Status::ParseFailure,
            DispatchError::Internal => Status::InternalFailure,
        });
    }
    guest.write_u32(token_out, token)
}

pub(super) fn proxy_grpc_send<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    token: u32,
    message: Addr,
    message_size: u64,
    end_stream: bool,
) -> Answer {
    match state.calls.borrow().find(token).map(|call| call.kind) {
        Some(CallKind::GrpcStream) => {}
        Some(_) => return Err(Status::BadArgument),
        None => return Err(Status::NotFound),
    }
    let message = guest.read(message, message_size)?;
    state.services.grpc_calls.send(state.call_id(token), message, end_stream).map_err(|error| match error {
        GrpcSendError::BadArgument => Status::BadArgument,
        GrpcSendError::NotFound => Status::NotFound,
    })
}

pub(super) fn proxy_grpc_cancel<G: Guest>(_: &mut G, state: &InstanceState, token: u32) -> Answer {
    is_grpc(state, token)?;
    state.calls.borrow_mut().end(token);
    state.services.grpc_calls.cancel(state.call_id(token));
    Ok(())
}

/// Closes a call. A unary call is cancelled; a stream ends only on the plugin's side, and messages
/// may still arrive.
pub(super) fn proxy_grpc_close<G: Guest>(_: &mut G, state: &InstanceState, token: u32) -> Answer {
    if is_grpc(state, token)? == CallKind::GrpcCall {
        state.calls.borrow_mut().end(token);
        state.services.grpc_calls.cancel(state.call_id(token));
    } else {
        state.services.grpc_calls.close(state.call_id(token));
    }
    Ok(())
}

fn is_grpc(state: &InstanceState, token: u32) -> Result<CallKind, Status> {
    match state.calls.borrow().find(token).map(|call| call.kind) {
        Some(kind @ (CallKind::GrpcCall | CallKind::GrpcStream)) => Ok(kind),
        _ => Err(Status::NotFound),
    }
}

pub(super) fn proxy_get_status<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    code: Addr,
    data: Addr,
    size: Addr,
) -> Answer {
    let status = state.call_status.borrow();
    guest.write_u32(code, status.code)?;
    return_bytes(guest, state, Out { data, size }, &status.message)
}
