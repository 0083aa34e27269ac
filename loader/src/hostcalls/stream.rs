//! Hostcalls that continue, close or answer a stream. All take effect after the callback returns.

use dynvm_abi::types::{Status, StreamType};

use super::Answer;
use crate::header_pairs;
use crate::host::LocalResponse;
use crate::instance::{Addr, Deferred, Guest, InstanceState};

pub(super) fn proxy_continue_stream<G: Guest>(_: &mut G, state: &InstanceState, stream_type: u32) -> Answer {
    let direction = direction(state, stream_type)?;
    state.defer(Deferred::Continue(state.effective.get(), direction));
    Ok(())
}

pub(super) fn proxy_close_stream<G: Guest>(_: &mut G, state: &InstanceState, stream_type: u32) -> Answer {
    let direction = direction(state, stream_type)?;
    state.defer(Deferred::Close(state.effective.get(), direction));
    Ok(())
}

pub(super) fn proxy_continue_request<G: Guest>(guest: &mut G, state: &InstanceState) -> Answer {
    proxy_continue_stream(guest, state, StreamType::HttpRequest as u32)
}

pub(super) fn proxy_continue_response<G: Guest>(guest: &mut G, state: &InstanceState) -> Answer {
    proxy_continue_stream(guest, state, StreamType::HttpResponse as u32)
}

pub(super) fn proxy_clear_route_cache<G: Guest>(_: &mut G, state: &InstanceState) -> Answer {
    if let Some(stream) = state.contexts.borrow_mut().stream_mut(state.effective.get()) {
        stream.stream.clear_route_cache();
    }
    Ok(())
}

fn direction(state: &InstanceState, stream_type: u32) -> Result<StreamType, Status> {
    let direction = StreamType::from_u32(stream_type).ok_or(Status::BadArgument)?;
    let contexts = state.contexts.borrow();
    let has = contexts.stream(state.effective.get()).is_some_and(|stream| stream.stream.has_direction(direction));
    has.then_some(direction).ok_or(Status::Unimplemented)
}

#[expect(clippy::too_many_arguments, reason = "the ABI's")]
pub(super) fn proxy_send_local_response<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    status_code: u32,
    details: Addr,
    details_size: u64,
    body: Addr,
    body_size: u64,
    headers: Addr,
    headers_size: u64,
    grpc_status: i32,
) -> Answer {
    let response = LocalResponse {
        status_code,
        details: guest.read(details, details_size)?.to_vec(),
        body: guest.read(body, body_size)?.to_vec(),
        headers: header_pairs::decode(guest.read(headers, headers_size)?).unwrap_or_default(),
        grpc_status,
    };
    // A root context has no stream to answer. The plugin gets OK all the same, because the SDKs
    // handle no other status.
    if let Some(stream) = state.contexts.borrow_mut().stream_mut(state.effective.get()) {
        stream.stream.local_response_requested(&response);
        state.local_response_sent.set(true);
        state.defer(Deferred::LocalResponse(state.effective.get(), Box::new(response)));
    }
    Ok(())
}
