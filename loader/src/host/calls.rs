//! HTTP and gRPC calls of plugins to other services.

use std::time::Duration;

use super::Headers;
use crate::{CallId, ContextId};

/// An HTTP call of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpCall {
    /// Identity of the call; pass it to
    /// [`Vm::on_http_call_response`](crate::Vm::on_http_call_response).
    pub id: CallId,
    /// The root context that receives the response.
    pub root: ContextId,
    /// Name of the upstream (Envoy: cluster). Need not be UTF-8.
    pub upstream: Vec<u8>,
    /// Request headers, with `:method`, `:path` and `:authority`.
    pub headers: Headers,
    /// Request body; may be empty.
    pub body: Vec<u8>,
    /// Request trailers; may be empty.
    pub trailers: Headers,
    /// Time limit after which the call fails. Zero: the plugin set none.
    pub timeout: Duration,
}

/// Error of starting a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DispatchError {
    /// The upstream is unknown, or a required header is missing. For gRPC: the description of the
    /// upstream cannot be parsed.
    BadArgument,
    /// The host cannot make calls, or cannot make this one now.
    Internal,
}

/// Response to an HTTP call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpCallResponse {
    /// Response headers; empty if the call failed or timed out.
    pub headers: Headers,
    /// Response body; may be empty.
    pub body: Vec<u8>,
    /// Response trailers; may be empty.
    pub trailers: Headers,
}

/// Makes HTTP calls for plugins.
pub trait HttpCalls {
    /// Starts a call and returns at once. The embedder later reports the response, or the failure,
    /// exactly once through [`Vm::on_http_call_response`](crate::Vm::on_http_call_response).
    fn dispatch(&self, call: HttpCall) -> Result<(), DispatchError>;

    /// Cancels all calls of a root context that has ended or whose VM failed. A response that
    /// arrives later is rejected as unknown.
    fn cancel_all(&self, root: ContextId) {
        let _ = root;
    }
}

/// Destination of a gRPC call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcTarget {
    /// The upstream: a name, or a serialized Envoy `GrpcService`.
    pub upstream: Vec<u8>,
    /// Full name of the service.
    pub service: Vec<u8>,
    /// Name of the method.
    pub method: Vec<u8>,
    /// Initial metadata sent with the call.
    pub initial_metadata: Headers,
}

/// A gRPC call or stream of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GrpcCall {
    /// Identity of the call; pass it to the `on_grpc_*` methods of [`Vm`](crate::Vm).
    pub id: CallId,
    /// The root context that receives the events.
    pub root: ContextId,
    /// The destination.
    pub target: GrpcTarget,
    /// The message of a unary call. `None` for a stream, whose messages follow through
    /// [`GrpcCalls::send`].
    pub message: Option<Vec<u8>>,
    /// Time limit after which a unary call fails. Zero: the plugin set none.
    pub timeout: Duration,
}

/// Error of sending a message on a gRPC stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GrpcSendError {
    /// The call cannot take messages: it is unary, or the plugin has ended its side.
    BadArgument,
    /// The call is over.
    NotFound,
}

/// Makes gRPC calls for plugins.
pub trait GrpcCalls {
    /// Starts a call or stream and returns at once. The embedder later reports its events through
    /// the `on_grpc_*` methods of [`Vm`](crate::Vm).
    fn open(&self, call: GrpcCall) -> Result<(), DispatchError>;

    /// Sends a message on a stream. `end_stream` ends the plugin's side.
    fn send(&self, call: CallId, message: &[u8], end_stream: bool) -> Result<(), GrpcSendError>;

    /// Ends a call at once; no event may follow. Also called for each call in progress when its
    /// root context ends or its VM fails.
    fn cancel(&self, call: CallId);

    /// Ends the plugin's side of a stream; messages may still arrive.
    fn close(&self, call: CallId);
}

/// A host without calls: every call fails with [`DispatchError::Internal`].
pub struct NoCalls;

impl HttpCalls for NoCalls {
    fn dispatch(&self, _: HttpCall) -> Result<(), DispatchError> {
        Err(DispatchError::Internal)
    }
}

impl GrpcCalls for NoCalls {
    fn open(&self, _: GrpcCall) -> Result<(), DispatchError> {
        Err(DispatchError::Internal)
    }

    fn send(&self, _: CallId, _: &[u8], _: bool) -> Result<(), GrpcSendError> {
        Err(GrpcSendError::NotFound)
    }

    fn cancel(&self, _: CallId) {}

    fn close(&self, _: CallId) {}
}
