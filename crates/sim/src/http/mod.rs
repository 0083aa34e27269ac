//! HTTP streams through one filter: the proxy's side of the plugin's callbacks.

mod flow;
mod open;

pub(super) use flow::Flow;
pub use open::{HttpStream, Passed, StepError, StreamView};

use dynvm::CallError;
use dynvm::ContextId;
use dynvm::host::HeaderMap as _;

use super::{Message, Request, Response, SimProxy};

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// With the upstream's response, as modified by the plugin.
    Upstream,
    /// With a local response of the plugin.
    LocalResponse {
        /// Response code details, for the access log.
        details: String,
        /// gRPC status, or -1.
        grpc_status: i32,
    },
    /// Closed by the plugin.
    Closed,
    /// The VM failed under the closed failure policy: status 503.
    Failed,
    /// Paused by the plugin and not resumed within a minute; a real proxy would time out.
    Paused,
}

/// A request as received by the upstream.
pub type UpstreamRequest = Message;

/// Result of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// How it ended.
    pub outcome: Outcome,
    /// Response received by the client; without headers if there was none.
    pub response: Response,
    /// Request received by the upstream, if any.
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

/// A local response of the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalReply {
    /// The response as the plugin sent it, before its own response callbacks.
    pub message: Message,
    /// Response code details, for the access log.
    pub details: String,
    /// gRPC status, or -1.
    pub grpc_status: i32,
    /// Whether it runs through the plugin's own response callbacks.
    pub(super) passes: bool,
}

impl SimProxy {
    /// Sends a request through the plugin to the upstream, and the response back. Events that are
    /// due meanwhile, or that a paused stream waits for, are delivered.
    ///
    /// # Errors
    ///
    /// The root context has ended: the plugin was stopped.
    pub fn send(&mut self, request: Request) -> Result<Exchange, CallError> {
        let stream = self.open(&request.properties)?;
        Ok(self.send_on(stream, request))
    }

    /// The same on an open stream that has received nothing. Closes the stream afterwards.
    pub fn send_on(&mut self, stream: HttpStream, request: Request) -> Exchange {
        let id = stream.context;
        let exchange = self.exchange(id, request);
        // The stream can only be gone with its VM, and then there is nothing to close.
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

    /// Delivers events until a direction is fully forwarded, cannot proceed, or a simulated minute has passed.
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

    /// How the stream ended, and the response received by the client.
    fn ended(&mut self, id: ContextId) -> (Outcome, Response) {
        let StreamView { client, local_reply, closed, failed, .. } = self.with(id, |stream| stream.view());
        match local_reply {
            Some(LocalReply { details, grpc_status, message, .. }) => {
                let outcome = Outcome::LocalResponse { details, grpc_status };
                // If its own callbacks held the reply back, the client receives only the headers.
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

/// The default upstream: status 200 with the request's body.
fn echo(request: &Message) -> Response {
    let body = request.body();
    let mut response = Response::new(200);
    if let Some(kind) = request.headers.get(b"content-type") {
        response = response.header("content-type", kind);
    }
    response = response.header("content-length", body.len().to_string());
    if body.is_empty() { response } else { response.body(body) }
}
