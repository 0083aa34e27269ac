//! What a plugin exports.

use std::collections::BTreeMap;
use std::num::NonZero;

use crate::config::CapabilityRestriction;

/// Functions and variables by name, with their addresses relative to the image's base.
#[derive(Debug)]
pub(crate) struct Exports {
    by_name: BTreeMap<String, u64>,
    /// Found once, as each VM calls them.
    pub(super) callbacks: Callbacks<usize>,
    pub(super) start: Start,
    /// The plugin's allocator.
    pub(super) allocator: Option<usize>,
}

/// Functions that a host calls before callbacks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) set_host: Option<usize>,
    pub(super) initialize: Option<usize>,
    pub(super) main: Option<usize>,
    pub(super) start: Option<usize>,
}

impl Exports {
    pub(crate) fn get(&self, name: &str) -> Option<u64> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    #[cfg(feature = "native")]
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

impl From<BTreeMap<String, u64>> for Exports {
    fn from(by_name: BTreeMap<String, u64>) -> Exports {
        let address = |name: &str| by_name.get(name).map(|address| *address as usize);
        Exports {
            callbacks: Callbacks::find(address),
            start: Start {
                set_host: address(dynvm_abi::host::SET_HOST_SYMBOL),
                initialize: address("_initialize"),
                main: address("main").or_else(|| address("__main_void")),
                start: address("_start"),
            },
            allocator: address("proxy_on_memory_allocate").or_else(|| address("malloc")),
            by_name,
        }
    }
}

impl FromIterator<(String, u64)> for Exports {
    fn from_iter<I: IntoIterator<Item = (String, u64)>>(exports: I) -> Exports {
        BTreeMap::from_iter(exports).into()
    }
}

impl Start {
    pub(super) fn at(self, base: usize) -> Start {
        let at = |function: Option<usize>| function.map(|offset| base.wrapping_add(offset));
        Start {
            set_host: at(self.set_host),
            initialize: at(self.initialize),
            main: at(self.main),
            start: at(self.start),
        }
    }
}

macro_rules! callbacks {
    ($($name:ident($($param:ident: $ty:ident),*) -> $ret:ident $versions:ident;)*) => {
        /// The callbacks that a plugin exports.
        #[derive(Debug)]
        pub(super) struct Callbacks<T> { $(pub(super) $name: Option<T>),* }

        impl Callbacks<usize> {
            fn find(address: impl Fn(&str) -> Option<usize>) -> Callbacks<usize> {
                Callbacks { $($name: address(stringify!($name))),* }
            }

            /// The addresses in an image of those that may be called.
            pub(super) fn at(&self, base: usize, capabilities: &CapabilityRestriction) -> Callbacks<NonZero<usize>> {
                let at = |name: &str, callback: Option<usize>| {
                    let callback = callback.filter(|_| capabilities.allows(name));
                    callback.and_then(|offset| NonZero::new(base.wrapping_add(offset)))
                };
                Callbacks { $($name: at(stringify!($name), self.$name)),* }
            }
        }
    };
}

dynvm_abi::callbacks!(callbacks);
