//! The interface downwards: the callbacks of one running plugin, one method each, whichever backend runs it.

use dynvm_abi::table::CallbackId;

use crate::error::Failure;

/// What a callback gave: its result (0 where it returns nothing), or `None` when the plugin does not export it.
pub(crate) type Returned = Result<Option<u32>, Box<Failure>>;

macro_rules! argument {
    (u32) => {
        u32
    };
    (bool) => {
        bool
    };
    (size) => {
        usize
    };
}

macro_rules! backend_trait {
    ($($name:ident($($param:ident: $ty:ident),*) -> $ret:ident $versions:ident;)*) => {
        /// A running instance of a module.
        pub(crate) trait Backend {
            /// Runs `_initialize` and `main`, or `_start`: once, before anything else.
            fn initialize(&mut self) -> Result<(), Box<Failure>>;

            /// Whether the plugin exports a callback and may have it called.
            fn exports(&self, callback: CallbackId) -> bool;

            /// Bytes of memory that the instance holds, where the backend knows.
            fn memory_size(&self) -> Option<u64>;

            $(fn $name(&mut self, $($param: argument!($ty)),*) -> Returned;)*
        }
    };
}

dynvm_abi::callbacks!(backend_trait);
