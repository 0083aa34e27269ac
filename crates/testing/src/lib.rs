//! A test host for Proxy-Wasm plugins.
//!
//! A plugin's own `#[test]` builds the plugin as shipped, runs it in a simulated proxy natively, as
//! wasm, or both, and asserts on its behavior. The SDK is not mocked: the hostcalls are those of
//! the loader that runs the plugin in production.
//!
//! ```no_run
//! use dynvm_testing::{Request, this_crate};
//!
//! #[test]
//! fn requests_without_a_token_are_refused() {
//!     let plugin = this_crate!().configuration(r#"{"secret": "0123456789abcdef0123456789abcdef"}"#);
//!     plugin.on_each_backend(|host| {
//!         let exchange = host.send(Request::get("/"));
//!         exchange.assert_local_reply(401).assert_header("www-authenticate", "Bearer realm=\"dynvm\"");
//!         exchange.assert_not_forwarded();
//!         host.assert_logged("no token");
//!     });
//! }
//! # fn main() {}
//! ```
//!
//! | type | idea |
//! |---|---|
//! | [`Plugin`] | a plugin and its configuration; starts hosts |
//! | [`TestHost`] | a simulated proxy with that plugin: traffic, time, log, metrics, stored data |
//! | [`TestStream`] | an HTTP stream that receives its parts one by one |
//! | [`Exchange`], [`ReceivedMessage`] | the result of a request; a message, with assertions |
//! | [`PendingHttpCall`], [`PendingGrpcCall`] | calls of the plugin that a test answers |
//!
//! When an assertion of this crate or of the test fails, the host prints every callback and
//! hostcall, and the log. A plugin that panics or crashes fails the test, unless it
//! [may](Plugin::may_fail).
//!
//! `docs/testing.md` covers debuggers, sanitizers and environment variables.

#![forbid(unsafe_code)]

mod artifact;
mod backends;
mod calls;
mod exchange;
mod foreign;
mod host;
mod plugin;
mod received;
mod state;
mod stream;
mod transcript;

pub use artifact::ArtifactError;
pub use calls::{PendingGrpcCall, PendingHttpCall};
pub use dynvm::BackendKind as Backend;
pub use dynvm::abi::types::{FilterDataStatus, FilterHeadersStatus, FilterTrailersStatus, LogLevel};
pub use dynvm::host::{ForeignError, Headers, MetricValue};
pub use dynvm::{FailurePolicy, VmConfig};
pub use dynvm_sim::{
    Connection, GrpcAnswer, GrpcEvent, HttpAnswer, MadeCall, Message, Outcome, PropertyValue, Request, Response,
    StreamView, TcpExchange,
};
pub use exchange::Exchange;
pub use host::TestHost;
pub use plugin::{NotStarted, Plugin};
pub use received::ReceivedMessage;
pub use stream::TestStream;

/// The plugin of the crate that contains the test.
#[macro_export]
macro_rules! this_crate {
    () => {
        $crate::Plugin::of_package(env!("CARGO_MANIFEST_DIR"), env!("CARGO_PKG_NAME"))
    };
}

/// The examples of the guide, compiled as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/testing.md")]
struct Page;
