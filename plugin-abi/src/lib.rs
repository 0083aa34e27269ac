//! The Proxy-Wasm ABI lowered to C.
//!
//! A native plugin imports and exports the same names as its WebAssembly twin; this crate defines their C types. The
//! contract is the set of headers in `include/dynvm/`, the Rust items mirror them, and [`mod@table`] describes every
//! function once: the loader's wasmtime linker, its native entry points, the C prototypes and the documentation are
//! generated from that table or tested against it.
//!
//! | module | header | content |
//! |---|---|---|
//! | [`types`] | `dynvm/types.h` | statuses, actions, buffer, map and stream types |
//! | [`version`] | `dynvm/version.h` | ABI versions of Proxy-Wasm, version of these headers |
//! | [`mod@table`] | `dynvm/hostcalls.h`, `dynvm/callbacks.h` | every hostcall and callback |
//! | [`host`] | `dynvm/host.h`, `dynvm/ext/` | the host's function table, the way to extensions |
//! | [`descriptor`] | `dynvm/descriptor.h` | the metadata of a plugin |
//! | [`description`] | | the same, read and checked by a host |
//! | [`linked`] | | plugins that are part of the program |
//!
//! A plugin in Rust describes itself with [`declare_plugin_descriptor!`]. With the feature `abi-stable` the module `layout` checks the
//! descriptor's layout when a plugin is loaded. The compatibility policy is at the top of `dynvm/dynvm.h`.

mod declare;
pub mod description;
pub mod descriptor;
pub mod host;
#[cfg(feature = "abi-stable")]
pub mod layout;
pub mod linked;
pub mod table;
mod tokens;
pub mod types;
pub mod version;

/// The directory of the C headers, for build scripts that compile C or C++ plugins.
pub const INCLUDE_DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/include");

macro_rules! headers {
    ($($path:literal)*) => {
        /// The C headers: path below the include directory, and text. For tools that compile plugins without access to
        /// the sources of this crate.
        pub const HEADERS: &[(&str, &str)] = &[$(($path, include_str!(concat!("../include/", $path)))),*];
    };
}

headers! {
    "dynvm/callbacks.h" "dynvm/descriptor.h" "dynvm/dynvm.h" "dynvm/ext/extension.h" "dynvm/host.h" "dynvm/hostcalls.h"
    "dynvm/macros.h" "dynvm/types.h" "dynvm/version.h"
}
