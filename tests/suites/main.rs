//! Suites of the wasm-tester: each rule of `docs/suites.md`, on both backends, with the scripted probe.

#![allow(clippy::duplicate_mod, reason = "each file of tests is compiled once for each backend")]

mod suite;

macro_rules! on_backend {
    ($name:ident, $backend:ident, $compiler:ident) => {
        #[path = "."]
        mod $name {
            // The tool that a test of this backend needs to compile its plugin.
            use needs::$compiler as compiler;

            fn backend() -> harness::Backend {
                harness::Backend::$backend
            }

            #[path = "bench.rs"]
            mod bench;
            #[path = "bodies.rs"]
            mod bodies;
            #[path = "headers.rs"]
            mod headers;
            #[path = "host.rs"]
            mod host;
            #[path = "lifecycle.rs"]
            mod lifecycle;
            #[path = "local_response.rs"]
            mod local_response;
            #[path = "log.rs"]
            mod log;
        }
    };
}

on_backend!(native, Native, cc);
on_backend!(wasm, Wasm, wasm_clang);
