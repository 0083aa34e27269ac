//! Calls to other services: HTTP and gRPC.

use std::time::Duration;

use super::Headers;
use crate::{CallId, ContextId};

/// An HTTP call that a plugin makes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpCall {
    /// Its name, with which the answer is delivered.
    pub id: CallId,
    /// The root context that gets the answer.
    pub root: ContextId,
    /// Name of the upstream (Envoy: cluster).
    pub upstream: Vec<u8>,
    /// Request headers, with `:method`, `:path` and `:authority`.
    pub headers: Headers,
    /// Request body.
    pub body: Vec<u8>,
    /// Request trailers.
    pub trailers: Headers,
    /// Time after which the call counts as failed; zero: no limit given.
    pub timeout: Duration,
}

/// Why a call was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DispatchError {
    /// The upstream is not known or a required header is missing. gRPC: the upstream's description cannot be parsed.
    BadArgument,
    /// The host cannot make calls, or not now.
    Internal,
}

/// The answer to an HTTP call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpCallResponse {
    /// Response headers; empty when the call failed or timed out.
    pub headers: Headers,
    /// Response body.
    pub body: Vec<u8>,
    /// Response trailers.
    pub trailers: Headers,
}

/// Makes HTTP calls.
pub trait HttpCalls {
    /// Starts a call and returns; the answer, or the failure, is delivered later and once, through
    /// [`Vm::on_http_call_response`](crate::Vm::on_http_call_response).
    fn dispatch(&self, call: HttpCall) -> Result<(), DispatchError>;

    /// The root context has ended, or its VM failed: answers to its calls are not wanted any more. One that comes all the same is
    /// refused as unknown.
    fn cancel_all(&self, root: ContextId) {
        let _ = root;
    }
}

/// Whom a gRPC call goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcTarget {
    /// The upstream: a name, or a serialized Envoy `GrpcService`.
    pub upstream: Vec<u8>,
    /// The service's full name.
    pub service: Vec<u8>,
    /// The method's name.
    pub method: Vec<u8>,
    /// Initial metadata.
    pub initial_metadata: Headers,
}

/// A gRPC call or stream that a plugin opens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GrpcCall {
    /// Its name, with which events are delivered.
    pub id: CallId,
    /// The root context that gets the events.
    pub root: ContextId,
    /// Whom it goes to.
    pub target: GrpcTarget,
    /// The one message of a unary call; `None` for a stream, whose messages follow.
    pub message: Option<Vec<u8>>,
    /// Time after which a unary call counts as failed; zero: no limit given.
    pub timeout: Duration,
}

/// Why a message was not sent on a gRPC stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GrpcSendError {
    /// The call cannot take messages: it is unary, or its end was sent.
    BadArgument,
    /// The call is over.
    NotFound,
}

/// Makes gRPC calls.
pub trait GrpcCalls {
    /// Opens a call or stream and returns; events are delivered later through the `on_grpc_*` methods of [`Vm`](crate::Vm).
    fn open(&self, call: GrpcCall) -> Result<(), DispatchError>;

    /// Sends a message on a stream.
    fn send(&self, call: CallId, message: &[u8], end_stream: bool) -> Result<(), GrpcSendError>;

    /// Ends a call at once; no event follows. Called as well for each call under way when its root context ends or its VM fails.
    fn cancel(&self, call: CallId);

    /// Ends this side of a stream; late messages may still come.
    fn close(&self, call: CallId);
}

/// No calls: every one fails with [`DispatchError::Internal`].
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
