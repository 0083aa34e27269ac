//! The hostcalls: each written once, for all backends.
//!
//! A hostcall is a function of the plugin's memory ([`Guest`](crate::instance::Guest)), the VM's
//! state ([`InstanceState`](crate::instance::InstanceState)) and its arguments. The backends call
//! it through [`dispatch`], which is generated from the table of the ABI: on the fast path one test
//! of a bit and the hostcall itself, otherwise with the checks of [`slow_path`] before it.

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

/// The outcome of a hostcall; `Ok` is the status OK.
type Answer = Result<(), dynvm_abi::types::Status>;
