//! HTTP streams through one filter: what a proxy does around the plugin's callbacks.

mod flow;
mod open;

pub(super) use flow::Flow;
pub use open::{HttpStream, Passed, StepError, StreamView};

use dynvm::CallError;
use dynvm::ContextId;
use dynvm::host::HeaderMap as _;

use super::{Message, Request, Response, SimProxy};

/// A stream's end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The upstream's response, as the plugin left it.
    Upstream,
    /// The plugin answered.
    LocalResponse {
        /// Details for the access log.
        details: String,
        /// gRPC status; -1: none.
        grpc_status: i32,
    },
    /// The plugin closed the stream.
    Closed,
    /// The VM failed and the failure policy is closed: status 503.
    Failed,
    /// The plugin paused the stream, and nothing that came within a minute resumed it: a proxy would run into a timeout.
    Paused,
}

/// A request as it reached the upstream.
pub type UpstreamRequest = Message;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// How it ended.
    pub outcome: Outcome,
    /// What the client got; without headers if it got nothing.
    pub response: Response,
    /// What the upstream got; `None`: nothing.
    pub upstream_request: Option<UpstreamRequest>,
}

/// A direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the upstream.
    Request = 0,
    /// From the upstream to the client.
    Response = 1,
}

/// An answer of the plugin's own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalReply {
    /// The answer as the plugin made it, before its own response callbacks.
    pub message: Message,
    /// Details for the access log.
    pub details: String,
    /// gRPC status; -1: none.
    pub grpc_status: i32,
    /// Whether it goes through the plugin's own response callbacks.
    pub(super) passes: bool,
}

impl SimProxy {
    /// Takes a request through the plugin to the upstream and the response back. What falls due meanwhile, and all that a paused
    /// stream waits for, is delivered on the way.
    ///
    /// # Errors
    ///
    /// The root context is gone: the plugin has been stopped.
    pub fn send(&mut self, request: Request) -> Result<Exchange, CallError> {
        let stream = self.open(&request.properties)?;
        Ok(self.send_on(stream, request))
    }

    /// The same on a stream on which nothing has arrived yet. The stream is closed afterwards.
    pub fn send_on(&mut self, stream: HttpStream, request: Request) -> Exchange {
        let id = stream.context;
        let exchange = self.exchange(id, request);
        // It is gone only if its VM is, and then nobody is to be told.
        let _ = self.close(stream);
        self.deliver_due();
        exchange
    }

    fn exchange(&mut self, id: ContextId, request: Request) -> Exchange {
        self.feed(id, Direction::Request, request.message);
        self.wait(id, Direction::Request);
        let view = self.with(id, |stream| stream.view());
        let upstream_request = view.upstream.complete.then_some(view.upstream.message);
        if let Some(forwarded) = &upstream_request
            && view.local_reply.is_none()
        {
            let response = request.upstream.unwrap_or_else(|| echo(forwarded));
            self.feed(id, Direction::Response, response.message);
        }
        self.wait(id, Direction::Response);
        let (outcome, response) = self.ended(id);
        Exchange { outcome, response, upstream_request }
    }

    /// Delivers what is to come until all of a direction has gone on, or nothing more can, or a minute has passed on the host's clock.
    fn wait(&mut self, id: ContextId, direction: Direction) {
        let end = self.end_of_patience();
        loop {
            let done = self.with(id, |stream| {
                let flow = &stream.flows[direction as usize];
                !flow.begun || flow.complete || stream.is_over(direction)
            });
            if done || !self.deliver_next(end) {
                return;
            }
        }
    }

    /// How the stream ended, and what the client got.
    fn ended(&mut self, id: ContextId) -> (Outcome, Response) {
        let StreamView { client, local_reply, closed, failed, .. } = self.with(id, |stream| stream.view());
        match local_reply {
            Some(LocalReply { details, grpc_status, message, .. }) => {
                let outcome = Outcome::LocalResponse { details, grpc_status };
                // Where its own callbacks did not let it go on, a client gets the head.
                let message = if client.complete {
                    client.message
                } else {
                    Message { headers: message.headers, ..Message::default() }
                };
                (outcome, Response { message })
            }
            None if failed => (Outcome::Failed, Response::new(503)),
            None if closed => (Outcome::Closed, Response::default()),
            None if client.complete => (Outcome::Upstream, Response { message: client.message }),
            None => (Outcome::Paused, Response::default()),
        }
    }
}

/// The upstream of a request that says nothing else.
fn echo(request: &Message) -> Response {
    let body = request.body();
    let mut response = Response::new(200);
    if let Some(kind) = request.headers.get(b"content-type") {
        response = response.header("content-type", kind);
    }
    response = response.header("content-length", body.len().to_string());
    if body.is_empty() { response } else { response.body(body) }
}
