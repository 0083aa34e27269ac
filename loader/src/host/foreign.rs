//! Foreign functions: what a host offers beyond the ABI, by name (Envoy: `clear_route_cache`, `declare_property`, ...).

/// Why a foreign function did not give a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForeignError {
    /// There is none of this name.
    NotFound,
    /// Its arguments are not valid.
    BadArgument,
    /// Its result cannot be serialized.
    SerializationFailure,
    /// It failed.
    Internal,
}

/// Functions that plugins call by name.
pub trait ForeignFunctions: Send + Sync {
    /// Calls one. Runs inside the plugin's callback: it must not call into the VM.
    fn call(&self, name: &[u8], arguments: &[u8]) -> Result<Vec<u8>, ForeignError>;
}

/// None at all.
pub struct NoForeignFunctions;

impl ForeignFunctions for NoForeignFunctions {
    fn call(&self, _: &[u8], _: &[u8]) -> Result<Vec<u8>, ForeignError> {
        Err(ForeignError::NotFound)
    }
}
