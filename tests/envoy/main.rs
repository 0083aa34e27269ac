//! Plugins in a real Envoy: in its own wasm filter, and in this workspace's module, natively and as wasm. Clients, upstreams
//! and logs see the same.
//!
//! Runs where DYNVM_ENVOY names an Envoy with dynamic modules and V8, such as the one that `./dev setup` installs;
//! DYNVM_ENVOY_OTHER may name another version, for the tests that run on several.

mod behaviour;
mod calls;
mod config;
mod connections;
mod envoy;
mod examples;
mod failure;
mod plugins;
mod reload;
mod services;
mod traffic;
