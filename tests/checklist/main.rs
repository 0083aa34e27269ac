//! What a Proxy-Wasm host must honour, on every backend: `docs/checklist.md` says which test covers which line.
//!
//! Each file of tests is compiled once for each backend and asks `backend()` which it is. The plugin is `plugins/probe.c`, which does what a
//! test's script says and logs what comes of it.

#![allow(clippy::duplicate_mod, reason = "each file of tests is compiled once for each backend")]

macro_rules! on_backend {
    ($name:ident, $backend:ident, $compiler:ident) => {
        #[path = "."]
        mod $name {
            // What a test of this backend needs to compile its plugin.
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
            #[path = "failure.rs"]
            mod failure;
            #[path = "headers.rs"]
            mod headers;
            #[path = "lifecycle.rs"]
            mod lifecycle;
            #[path = "profile.rs"]
            mod profile;
            #[path = "restriction.rs"]
            mod restriction;
            #[path = "services.rs"]
            mod services;
            #[path = "start.rs"]
            mod start;
            #[path = "versions.rs"]
            mod versions;
        }
    };
}

on_backend!(native, Native, cc);
on_backend!(wasm, Wasm, wasm_clang);

mod native_only;
mod wasm_only;
