//! Foreign functions: those of Envoy's wasm filter that a module can offer. `docs/envoy.md` has the others, with the
//! reasons.

use dynvm::host::{ForeignError, ForeignFunctions};

use crate::http::Exchange;
use crate::protobuf::field;

/// The functions that every context may call.
pub struct EnvoyFunctions;

impl ForeignFunctions for EnvoyFunctions {
    fn call(&self, name: &[u8], _: &[u8]) -> Result<Vec<u8>, ForeignError> {
        match name {
            // Declares the type of a property that the plugin sets. Here every property is bytes.
            b"declare_property" => Ok(Vec::new()),
            _ => Err(ForeignError::NotFound),
        }
    }
}

/// Calls a function of a stream. `None`: it is not one of a stream.
pub fn of_stream(exchange: &Exchange, name: &[u8], arguments: &[u8]) -> Option<Result<Vec<u8>, ForeignError>> {
    Some(match name {
        b"clear_route_cache" => {
            exchange.route_changed();
            Ok(Vec::new())
        }
        // `SetEnvoyFilterStateArguments`: path and value are the fields 1 and 2.
        b"set_envoy_filter_state" => match (field(arguments, 1), field(arguments, 2)) {
            (Some(path), Some(value)) if exchange.filter.set_filter_state_typed(path, value) => Ok(Vec::new()),
            _ => Err(ForeignError::BadArgument),
        },
        _ => return None,
    })
}
