//! The contract of a Proxy-Wasm host on every backend: `docs/checklist.md` maps its points to these tests.
//!
//! Each file of tests is compiled once for each backend, which `backend()` returns. The plugin is `plugins/probe.c`,
//! which runs a test's script and logs the results.

#![allow(clippy::duplicate_mod, reason = "each file of tests is compiled once for each backend")]

macro_rules! on_backend {
    ($name:ident, $backend:ident, $compiler:ident) => {
        on_backend! {
            $name, $backend, $compiler,
            #[path = "failure.rs"]
            mod failure;
            #[path = "start.rs"]
            mod start;
        }
    };
    // A crash of a plugin that is linked ends the program.
    ($name:ident, $backend:ident, $compiler:ident without crashes) => {
        on_backend! { $name, $backend, $compiler, }
    };
    ($name:ident, $backend:ident, $compiler:ident, $($more:item)*) => {
        #[path = "."]
        mod $name {
            // The tool that a test of this backend needs to compile its plugin.
            use needs::$compiler as compiler;

            fn backend() -> harness::Backend {
                harness::Backend::$backend
            }

            #[path = "actions.rs"]
            mod actions;
            #[path = "buffers.rs"]
            mod buffers;
            #[path = "calls.rs"]
            mod calls;
            #[path = "headers.rs"]
            mod headers;
            #[path = "lifecycle.rs"]
            mod lifecycle;
            #[path = "other_hosts.rs"]
            mod other_hosts;
            #[path = "restriction.rs"]
            mod restriction;
            #[path = "services.rs"]
            mod services;
            #[path = "versions.rs"]
            mod versions;
            $($more)*
        }
    };
}

on_backend!(native, Native, cc);
#[cfg(feature = "wasm")]
on_backend!(wasm, Wasm, wasm_clang);
on_backend!(null, Null, lld without crashes);

mod native_only;
#[cfg(feature = "wasm")]
mod wasm_only;
