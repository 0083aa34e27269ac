//! Backends, which compile and run artifacts. The rest of the loader knows them only by these
//! traits.
//!
//! ```text
//!   Backend     compiles artifacts: one for a loader
//!     Code      a compiled artifact: one for a module, shared by all threads
//!       Instance  a running plugin: one for a VM, on one thread
//! ```

#[cfg(any(feature = "native", feature = "null"))]
pub(crate) mod native;
#[cfg(feature = "wasm")]
pub(crate) mod wasm;

use std::any::Any;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use dynvm_abi::table::CallbackId;
use dynvm_abi::version::AbiVersion;

use crate::artifact::BackendKind;
use crate::error::{BoxedError, Failure, LoadError, StartError};
use crate::instance::InstanceState;
use crate::limitation::Limitation;
use crate::pin::PinReason;

/// Compiles artifacts of one kind.
pub(crate) trait Backend: Send + Sync {
    fn kind(&self) -> BackendKind;

    /// Checks and compiles an artifact without running any of its code.
    fn compile(&self, source: &Source<'_>) -> Result<Arc<dyn Code>, LoadError>;
}

/// What is compiled.
pub(crate) struct Source<'a> {
    /// Names the artifact in messages.
    #[cfg_attr(not(any(feature = "native", feature = "wasm")), expect(dead_code, reason = "nothing is compiled"))]
    pub(crate) name: &'a str,
    #[cfg_attr(not(any(feature = "native", feature = "wasm")), expect(dead_code, reason = "nothing is compiled"))]
    pub(crate) bytes: &'a [u8],
    /// The real path of the file that begins with these bytes; `None` if they come from memory or lie within a file.
    #[cfg_attr(not(feature = "native"), expect(dead_code, reason = "wasm modules need no other files"))]
    pub(crate) path: Option<&'a Path>,
    /// The open file that these bytes are the beginning of.
    #[cfg(feature = "native")]
    pub(crate) original: Option<&'a dynvm_image::Original>,
    /// Applies the loader's trust policy to a library that the artifact needs.
    #[cfg_attr(not(feature = "native"), expect(dead_code, reason = "wasm modules need no other files"))]
    pub(crate) check_library: &'a dyn Fn(&Path) -> Result<(), LoadError>,
}

/// A compiled artifact.
pub(crate) trait Code: Any + Send + Sync {
    /// The ABI version that the plugin was built for.
    fn abi_version(&self) -> AbiVersion;

    /// True if the plugin exports a callback.
    fn exports(&self, callback: CallbackId) -> bool;

    /// Why its VMs have to stay on their threads.
    fn pinned(&self) -> Vec<PinReason> {
        Vec::new()
    }

    /// The protections that its VMs lack.
    fn limitations(&self) -> Vec<Limitation> {
        Vec::new()
    }

    /// Creates an instance. None of its code has run yet.
    fn instantiate(&self, state: &Rc<InstanceState>) -> Result<Box<dyn Instance>, StartError>;
}

/// The outcome of a callback.
pub(crate) type Returned = Result<CallbackResult, Box<Failure>>;

/// What a callback returned, if the plugin exports it. As large as a pointer, so that a [`Returned`] fits in two registers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallbackResult(u64);

impl CallbackResult {
    /// The plugin does not export the callback.
    pub(crate) const NOT_EXPORTED: CallbackResult = CallbackResult(1 << 32);

    /// The result; 0 of a callback that returns nothing.
    #[inline]
    pub(crate) fn new(value: u32) -> CallbackResult {
        CallbackResult(value.into())
    }

    #[inline]
    pub(crate) fn get(self) -> Option<u32> {
        (self != CallbackResult::NOT_EXPORTED).then_some(self.0 as u32)
    }
}

/// Error of starting an instance.
pub(crate) enum NotStarted {
    /// The engine could not create it; no code of the plugin is at fault.
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

            /// True if the plugin exports a callback and the capability restriction allows it.
            fn exports(&self, callback: CallbackId) -> bool;

            /// Bytes of memory that the instance holds, if the backend knows.
            fn memory_size(&self) -> Option<u64>;

            /// Why a crash of the plugin ends the process. `None`: it only fails the VM.
            fn uncontained(&self) -> Option<&'static str> {
                None
            }

            /// Why it has to stay on its thread, besides the reasons of its module.
            fn pinned(&self) -> Option<PinReason> {
                None
            }

            /// Moves it to the calling thread, which runs it from now on.
            fn enter_thread(&mut self) {}

            $(fn $name(&mut self, $($param: dynvm_abi::__callback_type!($ty)),*) -> Returned;)*
        }
    };
}

dynvm_abi::callbacks!(instance_trait);
