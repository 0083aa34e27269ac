//! HTTP calls.

use std::time::Duration;

use dynvm_abi::types::Status;

use super::Answer;
use crate::header_pairs;
use crate::host::{DispatchError, HttpCall};
use crate::id::ContextId;
use crate::instance::{Addr, CallKind, Guest, InstanceState};

#[expect(clippy::too_many_arguments, reason = "the ABI's")]
pub(super) fn proxy_http_call<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    upstream: Addr,
    upstream_size: u64,
    headers: Addr,
    headers_size: u64,
    body: Addr,
    body_size: u64,
    trailers: Addr,
    trailers_size: u64,
    timeout: u32,
    token_out: Addr,
) -> Answer {
    let root = state.effective_root().ok_or(Status::InternalFailure)?;
    let mut call = HttpCall {
        token: 0,
        root: ContextId(root),
        upstream: guest.read(upstream, upstream_size)?.to_vec(),
        headers: header_pairs::decode(guest.read(headers, headers_size)?).unwrap_or_default(),
        body: guest.read(body, body_size)?.to_vec(),
        trailers: header_pairs::decode(guest.read(trailers, trailers_size)?).unwrap_or_default(),
        timeout: Duration::from_millis(timeout.into()),
    };
    // Written before the call is made, so that none is under way whose token the plugin cannot have.
    guest.write_u32(token_out, 0)?;
    call.token = state.calls.borrow_mut().begin(CallKind::Http, root);
    let token = call.token;
    guest.write_u32(token_out, token)?;
    state.services.http_calls.dispatch(call).map_err(|error| {
        state.calls.borrow_mut().end(token);
        match error {
            DispatchError::BadArgument => Status::BadArgument,
            DispatchError::Internal => Status::InternalFailure,
        }
    })
}
