//! Calls that plugins make, and the answers that they get.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::MemoryHost;
use crate::ContextId;
use crate::host::{
    CallError, Clock as _, GrpcCall, GrpcCalls, GrpcSendError, Headers, HttpCall, HttpCallResponse, HttpCalls,
    ManualClock,
};

/// An answer to HTTP calls to an upstream.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// The upstream.
    pub upstream: String,
    /// The answer; `None`: the call fails.
    pub response: Option<HttpCallResponse>,
    /// How long it takes. At the call's timeout it fails.
    pub delay: Duration,
}

/// An answer to gRPC calls to an upstream, or to one service or method there.
#[derive(Clone, Debug, Default)]
pub struct GrpcAnswer {
    /// The upstream.
    pub upstream: String,
    /// The service; empty: any.
    pub service: String,
    /// The method; empty: any.
    pub method: String,
    /// Initial metadata, delivered on streams.
    pub initial_metadata: Headers,
    /// The message, if the status is 0.
    pub message: Vec<u8>,
    /// Trailing metadata, delivered on streams.
    pub trailing_metadata: Headers,
    /// The status; 0 is OK.
    pub status: u32,
    /// The message of a status that is not OK.
    pub status_message: String,
    /// How long it takes.
    pub delay: Duration,
}

/// A call that a plugin made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MadeCall {
    /// An HTTP call.
    Http(HttpCall),
    /// A gRPC call or stream.
    Grpc(GrpcCall),
    /// A message on a gRPC stream.
    GrpcMessage {
        /// The stream.
        token: u32,
        /// The message.
        message: Vec<u8>,
        /// Whether it was the last.
        end_stream: bool,
    },
}

/// What is to be delivered for a call.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Http(u32, HttpCallResponse),
    GrpcUnary(u32, GrpcAnswer),
    GrpcStream(u32, GrpcAnswer),
}

/// Makes calls by looking their answers up.
pub(super) struct CannedCalls {
    clock: Arc<ManualClock>,
    http: Vec<HttpAnswer>,
    grpc: Vec<GrpcAnswer>,
    given: RefCell<HashMap<String, usize>>,
    pending: RefCell<Vec<(u64, ContextId, Answer)>>,
    made: RefCell<Vec<MadeCall>>,
}

impl CannedCalls {
    pub(super) fn new(clock: Arc<ManualClock>, http: Vec<HttpAnswer>, grpc: Vec<GrpcAnswer>) -> CannedCalls {
        CannedCalls {
            clock,
            http,
            grpc,
            given: RefCell::default(),
            pending: RefCell::default(),
            made: RefCell::default(),
        }
    }

    pub(super) fn take_made(&self) -> Vec<MadeCall> {
        self.made.take()
    }

    pub(super) fn next_due(&self) -> Option<u64> {
        self.pending.borrow().iter().map(|(due, ..)| *due).min()
    }

    pub(super) fn take_due(&self, now: u64) -> Option<Answer> {
        let mut pending = self.pending.borrow_mut();
        let (index, _) =
            pending.iter().enumerate().filter(|(_, (due, ..))| *due <= now).min_by_key(|(_, (due, ..))| *due)?;
        Some(pending.remove(index).2)
    }

    /// The next of the answers for a key; the last is given again.
    fn next<'a, A>(&self, key: String, answers: impl Iterator<Item = &'a A>) -> Option<&'a A> {
        let answers: Vec<&A> = answers.collect();
        let mut given = self.given.borrow_mut();
        let count = given.entry(key).or_default();
        let answer = answers.get(*count).or(answers.last()).copied();
        *count += 1;
        answer
    }

    fn answer_after(&self, delay: Duration, root: ContextId, answer: Answer) {
        let due = self.clock.monotonic_ns() + delay.as_nanos() as u64;
        self.pending.borrow_mut().push((due, root, answer));
    }

    fn forget(&self, token: u32) {
        self.pending.borrow_mut().retain(|(_, _, answer)| answer.token() != token);
    }
}

impl Answer {
    fn token(&self) -> u32 {
        match self {
            Answer::Http(token, _) | Answer::GrpcUnary(token, _) | Answer::GrpcStream(token, _) => *token,
        }
    }
}

impl HttpCalls for CannedCalls {
    fn dispatch(&self, call: HttpCall) -> Result<(), CallError> {
        let upstream = String::from_utf8_lossy(&call.upstream).into_owned();
        let (token, root, timeout) = (call.token, call.root, call.timeout);
        self.made.borrow_mut().push(MadeCall::Http(call));
        let known = self.http.iter().filter(|answer| answer.upstream == upstream);
        let answer = self.next(format!("http {upstream}"), known).ok_or(CallError::BadArgument)?;
        let timed_out = !timeout.is_zero() && answer.delay >= timeout;
        let response = answer.response.clone().filter(|_| !timed_out).unwrap_or_default();
        let delay = if timed_out { timeout } else { answer.delay };
        self.answer_after(delay, root, Answer::Http(token, response));
        Ok(())
    }

    fn cancel_all(&self, root: ContextId) {
        self.pending.borrow_mut().retain(|(_, of, _)| *of != root);
    }
}

impl GrpcCalls for CannedCalls {
    fn open(&self, call: GrpcCall) -> Result<(), CallError> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (upstream, service, method) =
            (text(&call.target.upstream), text(&call.target.service), text(&call.target.method));
        let (token, root, unary) = (call.token, call.root, call.message.is_some());
        self.made.borrow_mut().push(MadeCall::Grpc(call));
        let known = self.grpc.iter().filter(|answer| {
            answer.upstream == upstream
                && (answer.service.is_empty() || answer.service == service)
                && (answer.method.is_empty() || answer.method == method)
        });
        let answer =
            self.next(format!("grpc {upstream} {service} {method}"), known).ok_or(CallError::BadArgument)?.clone();
        let delay = answer.delay;
        let answer = if unary { Answer::GrpcUnary(token, answer) } else { Answer::GrpcStream(token, answer) };
        self.answer_after(delay, root, answer);
        Ok(())
    }

    fn send(&self, token: u32, message: &[u8], end_stream: bool) -> Result<(), GrpcSendError> {
        self.made.borrow_mut().push(MadeCall::GrpcMessage { token, message: message.to_vec(), end_stream });
        Ok(())
    }

    fn cancel(&self, token: u32) {
        self.forget(token);
    }

    fn close(&self, _: u32) {}
}

impl MemoryHost {
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
