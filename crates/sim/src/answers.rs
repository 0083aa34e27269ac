//! Answers to calls: those that were prepared, as they fall due, and those by hand.

use dynvm::CallError;
use dynvm::Vm;
use dynvm::host::{Headers, HttpCallResponse};

use super::SimProxy;
use super::calls::{Answer, GrpcAnswer, MadeCall};

/// What comes of a gRPC call that is answered by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GrpcEvent {
    /// Initial metadata of a stream.
    InitialMetadata(Headers),
    /// A message. It ends a unary call.
    Message(Vec<u8>),
    /// Trailing metadata of a stream.
    TrailingMetadata(Headers),
    /// The end of a stream, or the failure of a unary call.
    Close {
        /// The status; 0 is OK.
        status: u32,
        /// Its message.
        message: Vec<u8>,
    },
}

/// Answers by hand.
impl SimProxy {
    /// Answers an HTTP call, `None`: by its failure. Answers by hand go to calls to the upstreams of
    /// [`SimProxyBuilder::by_hand`](super::SimProxyBuilder::by_hand).
    ///
    /// # Errors
    ///
    /// The VM has failed, or no such call is under way.
    pub fn answer_http(&mut self, token: u32, response: Option<HttpCallResponse>) -> Result<(), CallError> {
        self.calls.forget(token);
        let response = response.unwrap_or_default();
        let answered =
            self.callback("proxy_on_http_call_response", |vm| vm.on_http_call_response(token, response), |_| "");
        self.settle_all();
        answered
    }

    /// Delivers an event of a gRPC call.
    ///
    /// # Errors
    ///
    /// The VM has failed, or no such call is under way.
    pub fn answer_grpc(&mut self, token: u32, event: GrpcEvent) -> Result<(), CallError> {
        let is_unary = |call: &MadeCall| matches!(call, MadeCall::Grpc(call) if call.message.is_some());
        let unary = self.calls.waiting().iter().any(|call| call.token() == token && is_unary(call));
        let delivered = match event {
            GrpcEvent::InitialMetadata(metadata) => {
                let call = |vm: &mut Vm| vm.on_grpc_receive_initial_metadata(token, metadata);
                self.callback("proxy_on_grpc_receive_initial_metadata", call, |_| "")
            }
            GrpcEvent::Message(message) => {
                if unary {
                    self.calls.forget(token);
                }
                self.callback("proxy_on_grpc_receive", |vm| vm.on_grpc_receive(token, message), |_| "")
            }
            GrpcEvent::TrailingMetadata(metadata) => {
                let call = |vm: &mut Vm| vm.on_grpc_receive_trailing_metadata(token, metadata);
                self.callback("proxy_on_grpc_receive_trailing_metadata", call, |_| "")
            }
            GrpcEvent::Close { status, message } => {
                self.calls.forget(token);
                self.callback("proxy_on_grpc_close", |vm| vm.on_grpc_close(token, status, message), |_| "")
            }
        };
        self.settle_all();
        delivered
    }
}

impl SimProxy {
    /// Delivers an answer. One whose call the plugin has ended meanwhile is dropped, as are the rest of a stream that it cancels.
    pub(super) fn deliver_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Http(token, response) => {
                let _ = self.callback(
                    "proxy_on_http_call_response",
                    |vm| vm.on_http_call_response(token, response),
                    |_| "",
                );
            }
            Answer::GrpcUnary(token, answer) if answer.status == 0 => {
                let _ = self.callback("proxy_on_grpc_receive", |vm| vm.on_grpc_receive(token, answer.message), |_| "");
            }
            Answer::GrpcUnary(token, answer) => self.close_grpc(token, &answer),
            Answer::GrpcStream(token, answer) => {
                let metadata = answer.initial_metadata.clone();
                let name = "proxy_on_grpc_receive_initial_metadata";
                let mut open =
                    self.callback(name, |vm| vm.on_grpc_receive_initial_metadata(token, metadata), |_| "").is_ok();
                if open && answer.status == 0 {
                    let message = answer.message.clone();
                    open =
                        self.callback("proxy_on_grpc_receive", |vm| vm.on_grpc_receive(token, message), |_| "").is_ok();
                }
                if open {
                    let metadata = answer.trailing_metadata.clone();
                    let name = "proxy_on_grpc_receive_trailing_metadata";
                    open =
                        self.callback(name, |vm| vm.on_grpc_receive_trailing_metadata(token, metadata), |_| "").is_ok();
                }
                if open {
                    self.close_grpc(token, &answer);
                }
            }
        }
    }

    fn close_grpc(&mut self, token: u32, answer: &GrpcAnswer) {
        let (status, message) = (answer.status, answer.status_message.clone().into_bytes());
        let _ = self.callback("proxy_on_grpc_close", |vm| vm.on_grpc_close(token, status, message), |_| "");
    }
}
