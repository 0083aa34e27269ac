//! The hostcall for foreign functions.

use dynvm_abi::types::Status;

use super::Answer;
use crate::host::ForeignError;
use crate::instance::{Addr, Guest, InstanceState, Out, return_bytes};

impl From<ForeignError> for Status {
    fn from(error: ForeignError) -> Status {
        match error {
            ForeignError::NotFound => Status::NotFound,
            ForeignError::BadArgument => Status::BadArgument,
            ForeignError::SerializationFailure => Status::SerializationFailure,
            ForeignError::Internal => Status::InternalFailure,
        }
    }
}

/// Calls a function of the stream, or else of the host. The plugin may pass null for the result,
/// which is then dropped.
#[expect(clippy::too_many_arguments, reason = "the ABI's")]
pub(super) fn proxy_call_foreign_function<G: Guest>(
    guest: &mut G,
    state: &InstanceState,
    name: Addr,
    name_size: u64,
    arguments: Addr,
    arguments_size: u64,
    data: Addr,
    size: Addr,
) -> Answer {
    let result = {
        let (name, arguments) = (guest.read(name, name_size)?, guest.read(arguments, arguments_size)?);
        let of_stream = state
            .contexts
            .borrow_mut()
            .stream_mut(state.effective.get())
            .and_then(|stream| stream.stream.call_foreign_function(name, arguments));
        match of_stream {
            Some(result) => result?,
            None => state.services.foreign.call(name, arguments)?,
        }
    };
    if data == Addr(0) || size == Addr(0) {
        return Ok(());
    }
    return_bytes(guest, state, Out { data, size }, &result)
}
