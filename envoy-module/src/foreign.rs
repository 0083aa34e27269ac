//! Foreign functions: those of Envoy's wasm filter that need no stream.

use dynvm::host::{ForeignError, ForeignFunctions};

use crate::http::Exchange;

/// Calls a function of a stream. `None`: it is not one of a stream.
pub fn of_stream(exchange: &Exchange, name: &[u8], arguments: &[u8]) -> Option<Result<Vec<u8>, ForeignError>> {
    let _ = arguments;
    match name {
        b"clear_route_cache" => {
            exchange.route_changed();
            Some(Ok(Vec::new()))
        }
        _ => None,
    }
}

/// The functions that every context may call. Those of a stream are in [`crate::http`].
pub struct EnvoyFunctions;

impl ForeignFunctions for EnvoyFunctions {
    fn call(&self, _: &[u8], _: &[u8]) -> Result<Vec<u8>, ForeignError> {
        Err(ForeignError::NotFound)
    }
}
