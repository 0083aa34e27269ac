//! Backends: how artifacts are compiled and run. The rest of the loader knows them by these traits alone.
//!
//! ```text
//!   Backend     compiles artifacts: one for a loader
//!     Code      a compiled artifact: one for a module, shared by all threads
//!       Instance  a running plugin: one for a VM, on one thread
//! ```

#[cfg(feature = "native")]
pub(crate) mod native;
#[cfg(feature = "wasm")]
pub(crate) mod wasm;

use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;

use dynvm_abi::table::CallbackId;
use dynvm_abi::version::AbiVersion;

use crate::artifact::BackendKind;
use crate::error::{BoxedError, Failure, LoadError, StartError};
use crate::instance::InstanceState;

/// Compiles artifacts.
pub(crate) trait Backend: Send + Sync {
    fn kind(&self) -> BackendKind;

    /// Checks and compiles an artifact. Nothing of it runs. The name is for messages.
    fn compile(&self, name: &str, bytes: &[u8]) -> Result<Arc<dyn Code>, LoadError>;
}

/// A compiled artifact.
pub(crate) trait Code: Any + Send + Sync {
    /// The ABI version that the plugin was built for.
    fn abi_version(&self) -> AbiVersion;

    /// Whether the plugin exports a callback.
    fn exports(&self, callback: CallbackId) -> bool;

    /// Makes an instance, of which no code has run yet.
    fn instantiate(&self, state: &Rc<InstanceState>) -> Result<Box<dyn Instance>, StartError>;
}

/// What a callback gave: its result (0 where it returns nothing), or `None` when the plugin does not export it.
pub(crate) type Returned = Result<Option<u32>, Box<Failure>>;

/// Why an instance did not start.
pub(crate) enum NotStarted {
    /// The engine could not make it; no code of the plugin is at fault.
    #[cfg_attr(not(feature = "wasm"), expect(dead_code, reason = "native images are opened before"))]
    Engine(BoxedError),
    /// The plugin failed in code that runs before any callback.
    Plugin(Box<Failure>),
}

impl From<Box<Failure>> for NotStarted {
    fn from(failure: Box<Failure>) -> NotStarted {
        NotStarted::Plugin(failure)
    }
}

macro_rules! instance_trait {
    ($($name:ident($($param:ident: $ty:ident),*) -> $ret:ident $versions:ident;)*) => {
        /// A running plugin: its callbacks, one method each.
        pub(crate) trait Instance {
            /// Runs the plugin's code that precedes all callbacks: constructors or wasm's start function, then
            /// `_initialize` and `main`, or `_start`. Called once; nothing of the plugin runs before.
            fn initialize(&mut self) -> Result<(), NotStarted>;

            /// Whether the plugin exports a callback and may have it called.
            fn exports(&self, callback: CallbackId) -> bool;

            /// Bytes of memory that the instance holds, where the backend knows.
            fn memory_size(&self) -> Option<u64>;

            $(fn $name(&mut self, $($param: dynvm_abi::__callback_type!($ty)),*) -> Returned;)*
        }
    };
}

dynvm_abi::callbacks!(instance_trait);
