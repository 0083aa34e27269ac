//! Delivers answers to calls: prepared ones when they are due, and manual ones.

use dynvm::host::{Headers, HttpCallResponse};
use dynvm::{CallError, CallId, Vm};

use super::SimProxy;
use super::calls::{Answer, GrpcAnswer, MadeCall};

/// An event of a gRPC call that is answered manually.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GrpcEvent {
    /// Initial metadata of a stream.
    InitialMetadata(Headers),
    /// A message. Completes a unary call.
    Message(Vec<u8>),
    /// Trailing metadata of a stream.
    TrailingMetadata(Headers),
    /// The end of a stream, or the failure of a unary call.
    Close {
        /// The gRPC status; 0 is OK.
        status: u32,
        /// The status message.
        message: Vec<u8>,
    },
}

/// Manual answers.
impl SimProxy {
    /// Answers an HTTP call; `None` makes it fail. Manual answers are for the upstreams of
    /// [`SimProxyBuilder::by_hand`](super::SimProxyBuilder::by_hand).
    ///
    /// # Errors
    ///
    /// The VM has failed, or no such call is pending.
    pub fn answer_http(&mut self, call: CallId, response: Option<HttpCallResponse>) -> Result<(), CallError> {
        self.calls.forget(call);
        let response = response.unwrap_or_default();
        let answered =
            self.callback("proxy_on_http_call_response", |vm| vm.on_http_call_response(call, response), |_| "");
        self.settle_all();
        answered
    }

    /// Delivers an event of a gRPC call.
    ///
    /// # Errors
    ///
    /// The VM has failed, or no such call is pending.
    pub fn answer_grpc(&mut self, call: CallId, event: GrpcEvent) -> Result<(), CallError> {
        let is_unary = |made: &MadeCall| matches!(made, MadeCall::Grpc(call) if call.message.is_some());
        let unary = self.calls.waiting().iter().any(|made| made.id() == call && is_unary(made));
        let delivered = match event {
            GrpcEvent::InitialMetadata(metadata) => {
                let deliver = |vm: &mut Vm| vm.on_grpc_receive_initial_metadata(call, metadata);
                self.callback("proxy_on_grpc_receive_initial_metadata", deliver, |_| "")
            }
            GrpcEvent::Message(message) => {
                if unary {
                    self.calls.forget(call);
                }
                self.callback("proxy_on_grpc_receive", |vm| vm.on_grpc_receive(call, message), |_| "")
            }
            GrpcEvent::TrailingMetadata(metadata) => {
                let deliver = |vm: &mut Vm| vm.on_grpc_receive_trailing_metadata(call, metadata);
                self.callback("proxy_on_grpc_receive_trailing_metadata", deliver, |_| "")
            }
            GrpcEvent::Close { status, message } => {
                self.calls.forget(call);
                self.callback("proxy_on_grpc_close", |vm| vm.on_grpc_close(call, status, message), |_| "")
            }
        };
        self.settle_all();
        delivered
    }
}

impl SimProxy {
    /// Delivers an answer. If the plugin has cancelled the call, the answer and the rest of its stream are dropped.
    pub(super) fn deliver_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Http(call, response) => {
                let _ =
                    self.callback("proxy_on_http_call_response", |vm| vm.on_http_call_response(call, response), |_| "");
            }
            Answer::GrpcUnary(call, answer) if answer.status == 0 => {
                let _ = self.callback("proxy_on_grpc_receive", |vm| vm.on_grpc_receive(call, answer.message), |_| "");
            }
            Answer::GrpcUnary(call, answer) => self.close_grpc(call, &answer),
            Answer::GrpcStream(call, answer) => {
                let metadata = answer.initial_metadata.clone();
                let name = "proxy_on_grpc_receive_initial_metadata";
                let mut open =
                    self.callback(name, |vm| vm.on_grpc_receive_initial_metadata(call, metadata), |_| "").is_ok();
                if open && answer.status == 0 {
                    let message = answer.message.clone();
                    open =
                        self.callback("proxy_on_grpc_receive", |vm| vm.on_grpc_receive(call, message), |_| "").is_ok();
                }
                if open {
                    let metadata = answer.trailing_metadata.clone();
                    let name = "proxy_on_grpc_receive_trailing_metadata";
                    open =
                        self.callback(name, |vm| vm.on_grpc_receive_trailing_metadata(call, metadata), |_| "").is_ok();
                }
                if open {
                    self.close_grpc(call, &answer);
                }
            }
        }
    }

    fn close_grpc(&mut self, call: CallId, answer: &GrpcAnswer) {
        let (status, message) = (answer.status, answer.status_message.clone().into_bytes());
        let _ = self.callback("proxy_on_grpc_close", |vm| vm.on_grpc_close(call, status, message), |_| "");
    }
}
