//! HTTP and gRPC calls of plugins, over Envoy's HTTP streams.
//!
//! Envoy makes calls for a stream, on its worker, or for a filter's configuration, on the main thread. A call that a
//! plugin makes in a callback of a stream goes the first way: it starts at once, so that the plugin learns what is wrong
//! with it, and it ends with the stream at the latest. All others go the second way: ticks, queues, and a stream's end.

mod grpc;
mod table;

use std::time::Duration;

use dynvm::host::{DispatchError, GrpcCall, GrpcCalls, GrpcSendError, Headers, HttpCall, HttpCallResponse, HttpCalls};
use dynvm::{CallId, ContextId};

pub use grpc::GrpcEvent;
pub use table::Calls;
use table::{Call, Kind};

/// What Envoy reports of a call.
pub enum CallEvent {
    /// Response headers.
    Headers(Headers),
    /// A part of the response's body.
    Data(Vec<u8>),
    /// Response trailers.
    Trailers(Headers),
    /// The call has ended well.
    Complete,
    /// The call has failed.
    Reset,
}

/// What Envoy shall do with a call.
pub enum CallOrder {
    /// Start it.
    Start(CallStart),
    /// Send data, and perhaps end this side.
    Data(Vec<u8>, bool),
    /// Send trailers, which end this side.
    Trailers(Headers),
    /// Reset it.
    Reset,
}

/// The beginning of a call.
pub struct CallStart {
    pub(crate) cluster: Vec<u8>,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) end_stream: bool,
    /// 0: none.
    pub(crate) timeout_ms: u64,
}

/// The calls of one version of a plugin on a thread.
pub struct VersionCalls {
    /// The version.
    pub version: u64,
    /// The thread's calls.
    pub calls: std::rc::Rc<Calls>,
}

fn milliseconds(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)
}

impl HttpCalls for VersionCalls {
    fn dispatch(&self, call: HttpCall) -> Result<(), DispatchError> {
        let HttpCall { id, root, upstream, mut headers, body, trailers, timeout, .. } = call;
        if !body.is_empty() {
            use dynvm::host::HeaderMap as _;
            headers.replace(b"content-length", body.len().to_string().as_bytes());
        }
        let has_trailers = trailers.iter().len() > 0;
        let start = CallStart {
            cluster: upstream,
            headers,
            body,
            end_stream: !has_trailers,
            timeout_ms: milliseconds(timeout),
        };
        let kind = Kind::Http { id, root, response: HttpCallResponse::default() };
        let key = self.calls.start(Call::new(self.version, kind), start, false)?;
        if has_trailers {
            self.calls.order(key, CallOrder::Trailers(trailers));
        }
        Ok(())
    }

    fn cancel_all(&self, root: ContextId) {
        self.calls.cancel(|kind| matches!(kind, Kind::Http { root: of, .. } if *of == root));
    }
}

impl GrpcCalls for VersionCalls {
    fn open(&self, call: GrpcCall) -> Result<(), DispatchError> {
        let start = grpc::start(&call)?;
        let outlives_streams = call.message.is_none();
        let kind = Kind::Grpc(Box::new(grpc::Progress::new(call.id, call.message.is_some())));
        self.calls.start(Call::new(self.version, kind), start, outlives_streams).map(drop)
    }

    fn send(&self, call: CallId, message: &[u8], end_stream: bool) -> Result<(), GrpcSendError> {
        let key = self.calls.grpc_for_sending(call, end_stream)?;
        self.calls.order(key, CallOrder::Data(grpc::frame(message), end_stream));
        Ok(())
    }

    fn cancel(&self, call: CallId) {
        self.calls.cancel(|kind| matches!(kind, Kind::Grpc(progress) if progress.id == call));
    }

    fn close(&self, call: CallId) {
        if let Ok(key) = self.calls.grpc_for_sending(call, true) {
            self.calls.order(key, CallOrder::Data(Vec::new(), true));
        }
    }
}
