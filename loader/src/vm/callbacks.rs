//! The events of streams and roots, and the meaning of the plugin's results.

use dynvm_abi::types::{FilterDataStatus, FilterHeadersStatus, FilterStatus, FilterTrailersStatus, LogLevel, PeerType};

use super::callback_values::*;
use super::{Called, Vm};
use crate::config::FailurePolicy;
use crate::error::CallError;
use crate::host::{Headers, HttpCallResponse, QueueId};
use crate::id::{CallId, ContextId};
use crate::instance::{Call, CallKind, Delivery, DeliveryKind, Release};

/// Streams. Each method returns what the embedder's filter chain does next.
///
/// On a failed VM the result follows the failure policy, and its streams are notified through
/// [`Stream::fail`](crate::host::Stream::fail). A stream unknown to this VM, because it has ended
/// or belongs to another VM, gets the result that stops it, and no code runs.
impl Vm {
    /// Request headers arrived (`proxy_on_request_headers`).
    pub fn on_request_headers(
        &mut self,
        stream: ContextId,
        num_headers: usize,
        end_of_stream: bool,
    ) -> FilterHeadersStatus {
        let called = self.call_stream(stream, |id| proxy_on_request_headers(id, num_headers, end_of_stream));
        self.headers_status(stream, called)
    }

    /// A part of the request body arrived; `body_size` is the number of bytes in the body buffer.
    pub fn on_request_body(&mut self, stream: ContextId, body_size: usize, end_of_stream: bool) -> FilterDataStatus {
        let called = self.call_stream(stream, |id| proxy_on_request_body(id, body_size, end_of_stream));
        self.data_status(stream, called)
    }

    /// Request trailers arrived (`proxy_on_request_trailers`).
    pub fn on_request_trailers(&mut self, stream: ContextId, num_trailers: usize) -> FilterTrailersStatus {
        let called = self.call_stream(stream, |id| proxy_on_request_trailers(id, num_trailers));
        self.trailers_status(stream, called)
    }

    /// HTTP/2 metadata of the request arrived. The stream always continues.
    pub fn on_request_metadata(&mut self, stream: ContextId, num_elements: usize) {
        self.call_stream(stream, |id| proxy_on_request_metadata(id, num_elements));
    }

    /// Response headers arrived (`proxy_on_response_headers`).
    pub fn on_response_headers(
        &mut self,
        stream: ContextId,
        num_headers: usize,
        end_of_stream: bool,
    ) -> FilterHeadersStatus {
        let called = self.call_stream(stream, |id| proxy_on_response_headers(id, num_headers, end_of_stream));
        self.headers_status(stream, called)
    }

    /// A part of the response body arrived; `body_size` is the number of bytes in the body buffer.
    pub fn on_response_body(&mut self, stream: ContextId, body_size: usize, end_of_stream: bool) -> FilterDataStatus {
        let called = self.call_stream(stream, |id| proxy_on_response_body(id, body_size, end_of_stream));
        self.data_status(stream, called)
    }

    /// Response trailers arrived (`proxy_on_response_trailers`).
    pub fn on_response_trailers(&mut self, stream: ContextId, num_trailers: usize) -> FilterTrailersStatus {
        let called = self.call_stream(stream, |id| proxy_on_response_trailers(id, num_trailers));
        self.trailers_status(stream, called)
    }

    /// HTTP/2 metadata of the response arrived. The stream always continues.
    pub fn on_response_metadata(&mut self, stream: ContextId, num_elements: usize) {
        self.call_stream(stream, |id| proxy_on_response_metadata(id, num_elements));
    }

    /// A TCP connection was accepted (`proxy_on_new_connection`).
    pub fn on_new_connection(&mut self, stream: ContextId) -> FilterStatus {
        let called = self.call_connection(stream, proxy_on_new_connection);
        self.network_status(stream, called)
    }

    /// Bytes from downstream arrived; `data_size` is the number of bytes in the buffer.
    pub fn on_downstream_data(&mut self, stream: ContextId, data_size: usize, end_of_stream: bool) -> FilterStatus {
        let called = self.call_connection(stream, |id| proxy_on_downstream_data(id, data_size, end_of_stream));
        self.network_status(stream, called)
    }

    /// Bytes from upstream arrived; `data_size` is the number of bytes in the buffer.
    pub fn on_upstream_data(&mut self, stream: ContextId, data_size: usize, end_of_stream: bool) -> FilterStatus {
        let called = self.call_connection(stream, |id| proxy_on_upstream_data(id, data_size, end_of_stream));
        self.network_status(stream, called)
    }

    /// The downstream connection was closed by `peer`.
    pub fn on_downstream_connection_close(&mut self, stream: ContextId, peer: PeerType) {
        self.call_connection(stream, |id| proxy_on_downstream_connection_close(id, peer as u32));
    }

    /// The upstream connection was closed by `peer`.
    pub fn on_upstream_connection_close(&mut self, stream: ContextId, peer: PeerType) {
        self.call_connection(stream, |id| proxy_on_upstream_connection_close(id, peer as u32));
    }

    /// Calls a callback that exists for connections only.
    #[inline]
    fn call_connection<C: Callback>(&mut self, stream: ContextId, callback: impl FnOnce(u32) -> C) -> Option<Called> {
        if let Some(id) = self.state.stream_id(stream)
            && let Some(state) = self.state.contexts.borrow_mut().stream_mut(id)
        {
            state.is_connection = true;
        }
        self.call_stream(stream, callback)
    }

    /// The next step of the filter chain after a headers callback. A local response stops the stream
    /// whatever the plugin returned. An unknown status stops it too, because continuing could bypass a
    /// check of the plugin.
    fn headers_status(&mut self, stream: ContextId, called: Option<Called>) -> FilterHeadersStatus {
        use FilterHeadersStatus as Status;
        let Some(called) = called else {
            return match self.on_failed_stream(stream) {
                Continue::Yes => Status::Continue,
                Continue::No => Status::StopAllIterationAndWatermark,
            };
        };
        if called.local_response_sent {
            return Status::StopAllIterationAndWatermark;
        }
        match called.value.map(Status::from_u32) {
            None => Status::Continue,
            Some(Some(Status::StopIteration)) if !self.state.config.allow_on_headers_stop_iteration => {
                Status::StopAllIterationAndWatermark
            }
            Some(status) => status.unwrap_or(Status::StopAllIterationAndWatermark),
        }
    }

    /// As for headers. A body that was stopped for good is not buffered, because nothing resumes it.
    fn data_status(&mut self, stream: ContextId, called: Option<Called>) -> FilterDataStatus {
        use FilterDataStatus as Status;
        let Some(called) = called else {
            return match self.on_failed_stream(stream) {
                Continue::Yes => Status::Continue,
                Continue::No => Status::StopIterationNoBuffer,
            };
        };
        if called.local_response_sent {
            return Status::StopIterationNoBuffer;
        }
        called.value.map_or(Status::Continue, |value| Status::from_u32(value).unwrap_or(Status::StopIterationNoBuffer))
    }

    fn trailers_status(&mut self, stream: ContextId, called: Option<Called>) -> FilterTrailersStatus {
        use FilterTrailersStatus as Status;
        let Some(called) = called else {
            return match self.on_failed_stream(stream) {
                Continue::Yes => Status::Continue,
                Continue::No => Status::StopIteration,
            };
        };
        match called.value {
            _ if called.local_response_sent => Status::StopIteration,
            None | Some(0) => Status::Continue,
            Some(_) => Status::StopIteration,
        }
    }

    fn network_status(&mut self, stream: ContextId, called: Option<Called>) -> FilterStatus {
        let Some(called) = called else {
            return match self.on_failed_stream(stream) {
                Continue::Yes => FilterStatus::Continue,
                Continue::No => FilterStatus::StopIteration,
            };
        };
        match called.value {
            None | Some(0) => FilterStatus::Continue,
            Some(_) => FilterStatus::StopIteration,
        }
    }

    /// The result for a stream whose callback did not complete: the failure policy's if the VM
    /// failed, otherwise (the VM does not know the stream) to stop.
    #[cold]
    fn on_failed_stream(&mut self, stream: ContextId) -> Continue {
        let Some(id) = self.state.stream_id(stream) else { return Continue::No };
        let mut contexts = self.state.contexts.borrow_mut();
        let policy = contexts.root_of(id).map(|(_, root)| root.config.failure_policy).unwrap_or_default();
        let Some(stream) = contexts.stream_mut(id) else { return Continue::No };
        if policy == FailurePolicy::Open && stream.released != Some(Release::Failed) {
            return Continue::Yes;
        }
        // Streams of the time of the failure were notified then; this one may have been created
        // later.
        stream.release(Release::Failed);
        Continue::No
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Continue {
    Yes,
    No,
}

/// Roots: events that belong to a plugin configuration, not to a stream.
impl Vm {
    /// The tick period of this root has elapsed (`proxy_on_tick`).
    pub fn on_tick(&mut self, root: ContextId) {
        self.call_root(root, proxy_on_tick);
    }

    /// A queue registered by this root has an element (`proxy_on_queue_ready`).
    pub fn on_queue_ready(&mut self, root: ContextId, queue: QueueId) {
        self.call_root(root, |id| proxy_on_queue_ready(id, queue));
    }

    /// Calls a function of the plugin (`proxy_on_foreign_function`), which reads `arguments` as
    /// buffer `CallData`.
    pub fn on_foreign_function(
        &mut self,
        root: ContextId,
        function_id: u32,
        arguments: Vec<u8>,
    ) -> Result<(), CallError> {
        let id = self.state.root_id(root).ok_or(CallError::UnknownContext(root))?;
        let size = arguments.len();
        let delivery = Delivery { call_data: arguments, kind: Some(DeliveryKind::ForeignCall), ..Delivery::default() };
        self.deliver(delivery, |vm| vm.call(proxy_on_foreign_function(id, function_id, size)))
    }

    /// Delivers the response to an HTTP call, and ends the call. A response without headers reports
    /// a failed call.
    ///
    /// # Errors
    ///
    /// [`CallError::UnknownCall`]: the call was answered, its root was deleted, or another VM made it.
    pub fn on_http_call_response(&mut self, call: CallId, response: HttpCallResponse) -> Result<(), CallError> {
        let Call { token, root: id, .. } = self.end_http(call)?;
        let (headers, body, trailers) = (len(&response.headers), response.body.len(), len(&response.trailers));
        let delivery = Delivery {
            http_headers: response.headers,
            http_body: response.body,
            http_trailers: response.trailers,
            kind: Some(DeliveryKind::HttpCall),
            ..Delivery::default()
        };
        self.deliver(delivery, |vm| vm.call(proxy_on_http_call_response(id, token, headers, body, trailers)))
    }

    /// Delivers the initial metadata of a gRPC stream.
    pub fn on_grpc_receive_initial_metadata(&mut self, call: CallId, metadata: Headers) -> Result<(), CallError> {
        let Call { token, root: id, .. } = self.find_grpc(call)?;
        let count = len(&metadata) as u32;
        let delivery =
            Delivery { grpc_metadata: metadata, kind: Some(DeliveryKind::GrpcInitialMetadata), ..Delivery::default() };
        self.deliver(delivery, |vm| vm.call(proxy_on_grpc_receive_initial_metadata(id, token, count)))
    }

    /// Delivers a message of a gRPC call or stream, and ends a unary call, which gets no other
    /// event.
    pub fn on_grpc_receive(&mut self, call: CallId, message: Vec<u8>) -> Result<(), CallError> {
        let Call { token, root: id, kind } = self.find_grpc(call)?;
        if kind == CallKind::GrpcCall {
            self.state.calls.borrow_mut().end(token);
            self.set_status(0, Vec::new());
        }
        let size = message.len();
        let delivery = Delivery { grpc_message: message, kind: Some(DeliveryKind::GrpcMessage), ..Delivery::default() };
        self.deliver(delivery, |vm| vm.call(proxy_on_grpc_receive(id, token, size)))
    }

    /// Delivers the trailing metadata of a gRPC stream.
    pub fn on_grpc_receive_trailing_metadata(&mut self, call: CallId, metadata: Headers) -> Result<(), CallError> {
        let Call { token, root: id, .. } = self.find_grpc(call)?;
        let count = len(&metadata) as u32;
        let delivery =
            Delivery { grpc_metadata: metadata, kind: Some(DeliveryKind::GrpcTrailingMetadata), ..Delivery::default() };
        self.deliver(delivery, |vm| vm.call(proxy_on_grpc_receive_trailing_metadata(id, token, count)))
    }

    /// Closes a gRPC stream, or a unary call that failed. The plugin can read status and message.
    /// Ends the call.
    pub fn on_grpc_close(&mut self, call: CallId, status: u32, message: Vec<u8>) -> Result<(), CallError> {
        let Call { token, root: id, .. } = self.find_grpc(call)?;
        self.state.calls.borrow_mut().end(token);
        self.set_status(status, message);
        self.deliver(Delivery::default(), |vm| vm.call(proxy_on_grpc_close(id, token, status)))
    }

    /// Makes the data of a delivery readable while its callback runs.
    fn deliver(&mut self, delivery: Delivery, call: impl FnOnce(&mut Vm) -> Option<Called>) -> Result<(), CallError> {
        *self.state.delivery.borrow_mut() = delivery;
        let called = call(self);
        *self.state.delivery.borrow_mut() = Delivery::default();
        match (called, self.failure()) {
            (None, Some(failure)) => Err(CallError::Vm(failure)),
            _ => Ok(()),
        }
    }

    fn set_status(&mut self, code: u32, message: Vec<u8>) {
        let mut status = self.state.call_status.borrow_mut();
        status.code = code;
        status.message = message;
    }

    fn end_http(&mut self, call: CallId) -> Result<Call, CallError> {
        let known = self.find_call(call, |kind| kind == CallKind::Http)?;
        self.state.calls.borrow_mut().end(known.token);
        Ok(known)
    }

    fn find_grpc(&self, call: CallId) -> Result<Call, CallError> {
        self.find_call(call, |kind| kind != CallKind::Http)
    }

    /// A call in progress in this VM. A call cancelled by the failure of the VM gets that failure.
    fn find_call(&self, call: CallId, is_kind: impl FnOnce(CallKind) -> bool) -> Result<Call, CallError> {
        let known = self.state.find_call(call).filter(|known| is_kind(known.kind));
        known.ok_or_else(|| match self.failure() {
            Some(failure) if call.vm() == self.id() => CallError::Vm(failure),
            _ => CallError::UnknownCall(call),
        })
    }

    /// Writes a message of the host about this VM to the VM's log.
    pub fn log(&self, level: LogLevel, message: &str) {
        self.state.log(level, message.as_bytes());
    }
}

fn len(map: &Headers) -> usize {
    crate::host::HeaderMap::len(map)
}
