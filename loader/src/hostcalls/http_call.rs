//! The hostcall for HTTP calls.

use std::time::Duration;

use dynvm_abi::types::Status;

use super::Answer;
use crate::header_pairs;
use crate::host::{DispatchError, HttpCall};
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
    let upstream = guest.read(upstream, upstream_size)?.to_vec();
    let headers = header_pairs::decode(guest.read(headers, headers_size)?).unwrap_or_default();
    let body = guest.read(body, body_size)?.to_vec();
    let trailers = header_pairs::decode(guest.read(trailers, trailers_size)?).unwrap_or_default();
    // Tests the address before the call is made: no call may start whose token cannot be returned.
    guest.write_u32(token_out, 0)?;
    let token = state.calls.borrow_mut().begin(CallKind::Http, root);
    guest.write_u32(token_out, token)?;
    let timeout = Duration::from_millis(timeout.into());
    let (id, root) = (state.call_id(token), state.context_id(root));
    let call = HttpCall { id, root, upstream, headers, body, trailers, timeout };
    state.services.http_calls.dispatch(call).map_err(|error| {
        state.calls.borrow_mut().end(token);
        match error {
            DispatchError::BadArgument => Status::BadArgument,
            DispatchError::Internal => Status::InternalFailure,
        }
    })
}
