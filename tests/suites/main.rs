//! Suites of the wasm-tester: each rule of `docs/suites.md`, on both backends, with the plugin that does what a script says.

#![allow(clippy::duplicate_mod, reason = "each file of tests is compiled once for each backend")]

#[path = "../checklist/compile.rs"]
mod compile;
#[allow(dead_code, reason = "shared with the checklist, which uses all of it")]
#[path = "../checklist/rig.rs"]
mod rig;
mod suite;

macro_rules! on_backend {
    ($name:ident, $backend:ident) => {
        #[path = "."]
        mod $name {
            fn backend() -> crate::rig::Backend {
                crate::rig::Backend::$backend
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

on_backend!(native, Native);
on_backend!(wasm, Wasm);
