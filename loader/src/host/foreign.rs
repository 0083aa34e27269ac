//! Foreign functions: host functions beyond the ABI, called by name (Envoy: `clear_route_cache`,
//! `declare_property`, ...).

/// Error of a foreign function. Each maps to the ABI's status of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForeignError {
    /// No function has this name.
    NotFound,
    /// The arguments are invalid.
    BadArgument,
    /// The result cannot be serialized.
    SerializationFailure,
    /// The function failed.
    Internal,
}

/// Host functions that plugins call by name.
pub trait ForeignFunctions: Send + Sync {
    /// Calls a function and returns its result. Runs inside the plugin's callback: it must not call
    /// into the VM.
    fn call(&self, name: &[u8], arguments: &[u8]) -> Result<Vec<u8>, ForeignError>;
}

/// A host without foreign functions.
pub struct NoForeignFunctions;

impl ForeignFunctions for NoForeignFunctions {
    fn call(&self, _: &[u8], _: &[u8]) -> Result<Vec<u8>, ForeignError> {
        Err(ForeignError::NotFound)
    }
}
