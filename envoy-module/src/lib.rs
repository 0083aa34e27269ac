//! Native and wasm Proxy-Wasm plugins in a stock Envoy, as a dynamic module: `libdynvm_envoy.so`.
//!
//! `docs/envoy.md` is the guide for operators.
//!
//! ```text
//!   abi         Envoy's ABI; all unsafe code
//!   config      the configuration of a filter
//!   deployed    the plugin of one configuration, for all threads
//!   local       the plugin of one configuration on one thread
//!   http        HTTP streams
//!   network     TCP connections
//!   access_log  entries of access logs
//!   calls       HTTP and gRPC calls
//!   timers, inbox, metrics, properties, foreign, log: the other services
//! ```

#![deny(unsafe_code)]

#[allow(unsafe_code, reason = "the boundary to Envoy")]
mod abi;
mod access_log;
mod calls;
mod config;
mod deployed;
mod foreign;
mod http;
mod inbox;
mod local;
mod log;
mod metrics;
mod network;
mod properties;
mod protobuf;
mod timers;
