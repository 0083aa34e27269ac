//! Calls of the plugin that a test answers.

use dynvm::host::{GrpcCall, Headers, HttpCall, HttpCallResponse};
use dynvm_sim::{GrpcEvent, MadeCall, Response};

use crate::{ReceivedMessage, TestHost};

/// Pending calls.
impl TestHost {
    /// The oldest pending HTTP call to an upstream registered with [`Plugin::upstream`](crate::Plugin::upstream).
    ///
    /// # Panics
    ///
    /// No such call is pending.
    #[track_caller]
    pub fn http_call(&self, upstream: &str) -> PendingHttpCall<'_> {
        let call = self.memory().waiting_calls().into_iter().find_map(|call| match call {
            MadeCall::Http(call) if call.upstream == upstream.as_bytes() => Some(call),
            _ => None,
        });
        match call {
            Some(call) => PendingHttpCall { host: self, call },
            None => self.no_call("HTTP", upstream),
        }
    }

    /// The oldest pending gRPC call or stream to an upstream.
    ///
    /// # Panics
    ///
    /// No such call is pending.
    #[track_caller]
    pub fn grpc_call(&self, upstream: &str) -> PendingGrpcCall<'_> {
        let call = self.memory().waiting_calls().into_iter().find_map(|call| match call {
            MadeCall::Grpc(call) if call.target.upstream == upstream.as_bytes() => Some(call),
            _ => None,
        });
        match call {
            Some(call) => PendingGrpcCall { host: self, call },
            None => self.no_call("gRPC", upstream),
        }
    }

    /// Asserts that no call is pending.
    #[track_caller]
    pub fn assert_no_call_waits(&self) {
        let waiting = self.memory().waiting_calls();
        assert!(waiting.is_empty(), "calls wait for an answer: {waiting:#?}");
    }

    #[track_caller]
    fn no_call(&self, kind: &str, upstream: &str) -> ! {
        let made = self.made_calls();
        panic!(
            "no {kind} call to {upstream:?} waits for an answer: is it named by `Plugin::upstream`? \
             The plugin made these calls: {made:#?}"
        )
    }

    #[track_caller]
    fn answer(&self, what: &str, act: impl FnOnce(&mut dynvm_sim::SimProxy) -> Result<(), dynvm::CallError>) {
        self.transcript.note(what);
        match self.drive(act) {
            // `drive` already fails the test on failures that the plugin may not have.
            Ok(()) | Err(dynvm::CallError::Vm(_)) => {}
            Err(error) => panic!("{what}: {}", dynvm::with_causes(&error)),
        }
    }
}

/// A pending HTTP call.
pub struct PendingHttpCall<'h> {
    host: &'h TestHost,
    call: HttpCall,
}

impl PendingHttpCall<'_> {
    /// The call: upstream, timeout, and request.
    pub fn call(&self) -> &HttpCall {
        &self.call
    }

    /// The request of the call.
    pub fn request(&self) -> ReceivedMessage {
        let (headers, trailers) = (self.call.headers.clone(), self.call.trailers.clone());
        let chunks = if self.call.body.is_empty() { Vec::new() } else { vec![self.call.body.clone()] };
        ReceivedMessage::new("the plugin's HTTP call", dynvm_sim::Message { headers, chunks, trailers })
    }

    /// Answers the call.
    #[track_caller]
    pub fn respond(self, response: Response) {
        let (id, response) = (self.call.id, http_response(response));
        self.host.answer("the HTTP call is answered", |host| host.answer_http(id, Some(response)));
    }

    /// Fails the call, as when the upstream is unreachable.
    #[track_caller]
    pub fn fail(self) {
        let id = self.call.id;
        self.host.answer("the HTTP call fails", |host| host.answer_http(id, None));
    }
}

/// A pending gRPC call or stream.
pub struct PendingGrpcCall<'h> {
    host: &'h TestHost,
    call: GrpcCall,
}

impl PendingGrpcCall<'_> {
    /// The call: upstream, service, method, message of a unary call, timeout.
    pub fn call(&self) -> &GrpcCall {
        &self.call
    }

    /// The messages sent by the plugin on a stream so far.
    pub fn sent(&self) -> Vec<Vec<u8>> {
        let calls = self.host.made_calls();
        let sent = calls.into_iter().filter_map(|call| match call {
            MadeCall::GrpcMessage { id, message, .. } if id == self.call.id => Some(message),
            _ => None,
        });
        sent.collect()
    }

    /// Delivers initial metadata of a stream.
    #[track_caller]
    pub fn initial_metadata(&self, metadata: impl Into<Headers>) {
        self.event("gRPC initial metadata arrives", GrpcEvent::InitialMetadata(metadata.into()));
    }

    /// Delivers a message. Completes a unary call.
    #[track_caller]
    pub fn message(&self, message: impl Into<Vec<u8>>) {
        self.event("a gRPC message arrives", GrpcEvent::Message(message.into()));
    }

    /// Delivers trailing metadata of a stream.
    #[track_caller]
    pub fn trailing_metadata(&self, metadata: impl Into<Headers>) {
        self.event("gRPC trailing metadata arrives", GrpcEvent::TrailingMetadata(metadata.into()));
    }

    /// Ends the stream, or fails the unary call, with a status; 0 is OK.
    #[track_caller]
    pub fn close(self, status: u32, message: &str) {
        self.event("the gRPC call ends", GrpcEvent::Close { status, message: message.as_bytes().to_vec() });
    }

    #[track_caller]
    fn event(&self, what: &str, event: GrpcEvent) {
        let id = self.call.id;
        self.host.answer(what, |host| host.answer_grpc(id, event));
    }
}

/// Converts a response to the answer of a call.
pub(crate) fn http_response(response: Response) -> HttpCallResponse {
    let body = response.message.body();
    HttpCallResponse { headers: response.message.headers, body, trailers: response.message.trailers }
}
