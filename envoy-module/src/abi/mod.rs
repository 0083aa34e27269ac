//! Envoy's ABI for dynamic modules. All `unsafe` code of this crate stands here.
//!
//! ```text
//!   types          the C structures
//!   functions      Envoy's functions, found by name when the module is loaded
//!   process        functions of the process: log, mode, threads
//!   filter_config  one filter configuration: metrics, calls, scheduler
//!   http_filter    one HTTP stream: headers, bodies, attributes, calls
//!   connection     one TCP connection: its data, attributes, end
//!   call           calls to upstreams
//!   metric         changes to metrics
//!   access_logger  one entry of an access log
//!   cluster        the cluster that reaches every worker thread
//!   hooks          the functions that Envoy calls
//! ```
//!
//! Pointers that Envoy hands out are wrapped in types that forget them when Envoy destroys the object; a method of a
//! forgotten object does nothing.

pub mod access_logger;
pub mod call;
pub mod cluster;
pub mod connection;
pub mod filter_config;
mod functions;
mod hooks;
pub mod http_filter;
pub mod metric;
pub mod process;
mod types;

pub use types::AttributeId;
