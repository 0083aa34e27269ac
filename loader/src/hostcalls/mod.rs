//! The hostcalls: each written once, for every backend.
//!
//! A hostcall is a function of the plugin's memory ([`Guest`](crate::instance::Guest)), the VM's state ([`InstanceState`](crate::instance::InstanceState)) and its
//! arguments. The backends call them through [`dispatch`], which is generated from the table of the ABI: on the fast path one test of a
//! bit and the hostcall itself, else with the checks of [`gate`] around it.

mod buffer;
mod context;
pub(crate) mod dispatch;
mod foreign;
mod grpc;
mod header_map;
mod http_call;
mod log;
mod metric;
mod property;
mod shared_data;
mod shared_queue;
mod slow_path;
mod stream;
mod timer;
#[cfg(feature = "wasm")]
pub(crate) mod wasi;

/// What a hostcall answers.
type Answer = Result<(), dynvm_abi::types::Status>;
