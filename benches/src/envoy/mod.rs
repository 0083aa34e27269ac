//! A stock Envoy with plugins, for what measures or soaks it.

mod client;
mod config;
mod process;

pub use client::{Answer, Client};
pub use config::{address, http_listener, module_filter, plugin, ty, v8_filter};
pub use process::Envoy;
