//! The HTTP filter: one plugin on one stream.
//!
//! ```text
//!   filter       Envoy's events, as callbacks of the plugin
//!   exchange     the stream's state, and what the plugin does to it after its callback
//!   stream       the stream as the plugin's hostcalls see it
//!   headers      header maps in Envoy
//!   body         bodies in Envoy
//!   local_reply  the plugin's own response
//! ```

mod body;
mod exchange;
mod filter;
mod headers;
mod local_reply;
mod stream;

pub use exchange::{Direction, Exchange};
pub use filter::status;
