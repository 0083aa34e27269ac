//! Calls made by plugins, and their answers.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use dynvm::host::{
    Clock as _, DispatchError, GrpcCall, GrpcCalls, GrpcSendError, Headers, HttpCall, HttpCallResponse, HttpCalls,
    ManualClock,
};
use dynvm::{CallId, ContextId};

/// An answer to HTTP calls to an upstream.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// Name of the upstream.
    pub upstream: String,
    /// The answer; `None`: the call fails.
    pub response: Option<HttpCallResponse>,
    /// Latency of the answer. If it reaches the call's timeout, the call fails.
    pub delay: Duration,
}

/// An answer to gRPC calls to an upstream, or to one service or method there.
#[derive(Clone, Debug, Default)]
pub struct GrpcAnswer {
    /// Name of the upstream.
    pub upstream: String,
    /// The service; empty matches any.
    pub service: String,
    /// The method; empty matches any.
    pub method: String,
    /// Initial metadata, delivered on streams.
    pub initial_metadata: Headers,
    /// The message, sent if the status is 0.
    pub message: Vec<u8>,
    /// Trailing metadata, delivered on streams.
    pub trailing_metadata: Headers,
    /// The gRPC status; 0 is OK.
    pub status: u32,
    /// The message of a status other than OK.
    pub status_message: String,
    /// Latency of the answer.
    pub delay: Duration,
}

/// A call made by a plugin.
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
        id: CallId,
        /// The message.
        message: Vec<u8>,
        /// Whether it is the last message.
        end_stream: bool,
    },
}

/// A delivery due for a call.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Http(CallId, HttpCallResponse),
    GrpcUnary(CallId, GrpcAnswer),
    GrpcStream(CallId, GrpcAnswer),
}

/// The gRPC status of a call that timed out.
const DEADLINE_EXCEEDED: u32 = 4;

/// Answers calls from the prepared answers.
pub(super) struct CannedCalls {
    clock: Arc<ManualClock>,
    /// Upstreams whose calls wait for manual answers.
    by_hand: BTreeSet<String>,
    waiting: RefCell<Vec<MadeCall>>,
    http: Vec<HttpAnswer>,
    grpc: Vec<GrpcAnswer>,
    given: RefCell<HashMap<String, usize>>,
    pending: RefCell<Vec<(u64, ContextId, Answer)>>,
    made: RefCell<Vec<MadeCall>>,
}

impl CannedCalls {
    pub(super) fn new(
        clock: Arc<ManualClock>,
        by_hand: BTreeSet<String>,
        http: Vec<HttpAnswer>,
        grpc: Vec<GrpcAnswer>,
    ) -> CannedCalls {
        CannedCalls {
            clock,
            by_hand,
            waiting: RefCell::default(),
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

    /// Calls that wait for manual answers, oldest first.
    pub(super) fn waiting(&self) -> Vec<MadeCall> {
        self.waiting.borrow().clone()
    }

    /// Registers a call that waits for a manual answer and fails at its timeout, if it has one.
    fn wait(&self, call: MadeCall, root: ContextId, timeout: Duration, late: Answer) {
        self.waiting.borrow_mut().push(call);
        if !timeout.is_zero() {
            self.answer_after(timeout, root, late);
        }
    }

    /// Whether calls to this upstream are answered manually.
    fn is_by_hand(&self, upstream: &str) -> bool {
        self.by_hand.contains(upstream)
    }

    pub(super) fn next_due(&self) -> Option<u64> {
        self.pending.borrow().iter().map(|(due, ..)| *due).min()
    }

    pub(super) fn take_due(&self, now: u64) -> Option<Answer> {
        let mut pending = self.pending.borrow_mut();
        let (index, _) =
            pending.iter().enumerate().filter(|(_, (due, ..))| *due <= now).min_by_key(|(_, (due, ..))| *due)?;
        let answer = pending.remove(index).2;
        drop(pending);
        self.forget(answer.id());
        Some(answer)
    }

    /// The next answer for a key; the last one repeats.
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

    pub(super) fn forget(&self, id: CallId) {
        self.waiting.borrow_mut().retain(|call| call.id() != id);
        self.pending.borrow_mut().retain(|(_, _, answer)| answer.id() != id);
    }
}

impl Answer {
    fn id(&self) -> CallId {
        match self {
            Answer::Http(id, _) | Answer::GrpcUnary(id, _) | Answer::GrpcStream(id, _) => *id,
        }
    }
}

impl MadeCall {
    /// The id of the call or stream.
    pub fn id(&self) -> CallId {
        match self {
            MadeCall::Http(call) => call.id,
            MadeCall::Grpc(call) => call.id,
            MadeCall::GrpcMessage { id, .. } => *id,
        }
    }

    fn root(&self) -> Option<ContextId> {
        match self {
            MadeCall::Http(call) => Some(call.root),
            MadeCall::Grpc(call) => Some(call.root),
            MadeCall::GrpcMessage { .. } => None,
        }
    }
}

impl HttpCalls for CannedCalls {
    fn dispatch(&self, call: HttpCall) -> Result<(), DispatchError> {
        let upstream = String::from_utf8_lossy(&call.upstream).into_owned();
        let (id, root, timeout) = (call.id, call.root, call.timeout);
        let call = MadeCall::Http(call);
        self.made.borrow_mut().push(call.clone());
        if self.is_by_hand(&upstream) {
            self.wait(call, root, timeout, Answer::Http(id, HttpCallResponse::default()));
            return Ok(());
        }
        let known = self.http.iter().filter(|answer| answer.upstream == upstream);
        let answer = self.next(format!("http {upstream}"), known).ok_or(DispatchError::BadArgument)?;
        let timed_out = !timeout.is_zero() && answer.delay >= timeout;
        let response = answer.response.clone().filter(|_| !timed_out).unwrap_or_default();
        let delay = if timed_out { timeout } else { answer.delay };
        self.answer_after(delay, root, Answer::Http(id, response));
        Ok(())
    }

    fn cancel_all(&self, root: ContextId) {
        self.pending.borrow_mut().retain(|(_, of, _)| *of != root);
        self.waiting.borrow_mut().retain(|call| call.root() != Some(root));
    }
}

impl GrpcCalls for CannedCalls {
    fn open(&self, call: GrpcCall) -> Result<(), DispatchError> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (upstream, service, method) =
            (text(&call.target.upstream), text(&call.target.service), text(&call.target.method));
        let (id, root, unary, timeout) = (call.id, call.root, call.message.is_some(), call.timeout);
        let call = MadeCall::Grpc(call);
        self.made.borrow_mut().push(call.clone());
        if self.is_by_hand(&upstream) {
            let late = GrpcAnswer { status: DEADLINE_EXCEEDED, ..GrpcAnswer::default() };
            // Streams have no timeout.
            self.wait(call, root, timeout, Answer::GrpcUnary(id, late));
            return Ok(());
        }
        let known = self.grpc.iter().filter(|answer| {
            answer.upstream == upstream
                && (answer.service.is_empty() || answer.service == service)
                && (answer.method.is_empty() || answer.method == method)
        });
        let answer =
            self.next(format!("grpc {upstream} {service} {method}"), known).ok_or(DispatchError::BadArgument)?.clone();
        let delay = answer.delay;
        let answer = if unary { Answer::GrpcUnary(id, answer) } else { Answer::GrpcStream(id, answer) };
        self.answer_after(delay, root, answer);
        Ok(())
    }

    fn send(&self, id: CallId, message: &[u8], end_stream: bool) -> Result<(), GrpcSendError> {
        self.made.borrow_mut().push(MadeCall::GrpcMessage { id, message: message.to_vec(), end_stream });
        Ok(())
    }

    fn cancel(&self, id: CallId) {
        self.forget(id);
    }

    fn close(&self, _: CallId) {}
}
