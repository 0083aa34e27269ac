//! HTTP streams through one filter: what a proxy does around the plugin's callbacks.

use dynvm_abi::types::{FilterDataStatus, FilterHeadersStatus, FilterTrailersStatus};

use super::stream::MemoryStream;
use super::{MemoryHost, Message, Request, Response};
use crate::error::CallFailed;
use crate::host::{HeaderMap as _, Headers, LocalResponse};
use crate::{ContextId, Vm};

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
    /// The plugin paused the stream and nothing is left that could resume it: a proxy would run into a timeout.
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

/// A direction of the stream, as an index.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request = 0,
    Response = 1,
}

/// The plugin, or its failure, ended the stream.
struct Ended;

impl MemoryHost {
    /// Takes a request through the plugin to the upstream and the response back. What falls due meanwhile, and all that a paused
    /// stream waits for, is delivered on the way.
    ///
    /// # Errors
    ///
    /// The root context is gone: the plugin has been stopped.
    pub fn send(&mut self, request: Request) -> Result<Exchange, CallFailed> {
        let (_, root) = self.plugin.for_new_stream();
        let create = |vm: &mut Vm| vm.create_stream(root, Box::<MemoryStream>::default());
        let id = self.callback("proxy_on_context_create", create, |_| "")?;
        let exchange = self.exchange(id, request);
        self.callback("proxy_on_done", |vm| vm.on_done(id), |_| "");
        self.callback("proxy_on_log", |vm| vm.on_log(id), |()| "");
        self.callback("proxy_on_delete", |vm| vm.delete_stream(id), |_| "");
        self.deliver_due();
        Ok(exchange)
    }

    fn exchange(&mut self, id: ContextId, request: Request) -> Exchange {
        let forwarded = match self.half(id, Direction::Request, request.message) {
            Ok(forwarded) => forwarded,
            Err(Ended) => return self.ended(id, None),
        };
        let response = request.upstream.unwrap_or_else(|| echo(&forwarded));
        match self.half(id, Direction::Response, response.message) {
            Ok(message) => Exchange {
                outcome: Outcome::Upstream,
                response: Response { message },
                upstream_request: Some(forwarded),
            },
            Err(Ended) => self.ended(id, Some(forwarded)),
        }
    }

    /// One direction: the message as it goes on from the plugin.
    fn half(&mut self, id: ContextId, direction: Direction, message: Message) -> Result<Message, Ended> {
        let Message { headers, chunks, trailers } = message;
        let mut forwarded = Message::default();
        let mut headers_held = true;
        let end = chunks.is_empty() && trailers.is_empty();
        let count = headers.len();
        self.with(id, |stream| stream.halves[direction as usize].headers = Some(headers));
        let status = match direction {
            Direction::Request => {
                let call = |vm: &mut Vm| vm.on_request_headers(id, count, end);
                self.callback("proxy_on_request_headers", call, |status| status.name())
            }
            Direction::Response => {
                let call = |vm: &mut Vm| vm.on_response_headers(id, count, end);
                self.callback("proxy_on_response_headers", call, |status| status.name())
            }
        };
        self.check(id)?;
        let mut chunks = chunks;
        let mut trailers = trailers;
        match status {
            FilterHeadersStatus::Continue => headers_held = false,
            FilterHeadersStatus::ContinueAndEndStream => {
                headers_held = false;
                chunks.clear();
                trailers.clear();
            }
            FilterHeadersStatus::StopIteration => {}
            _ => {
                self.wait(id, direction)?;
                headers_held = false;
                // What arrived meanwhile comes as one.
                if chunks.len() > 1 {
                    chunks = vec![chunks.concat()];
                }
            }
        }
        if !headers_held {
            self.release_headers(id, direction, &mut forwarded);
        }

        let last = chunks.len();
        let mut body_held = false;
        for (index, chunk) in chunks.into_iter().enumerate() {
            let end = index + 1 == last && trailers.is_empty();
            let size = self.with(id, |stream| {
                let body = stream.halves[direction as usize].body.get_or_insert_default();
                body.extend_from_slice(&chunk);
                body.len()
            });
            let status = match direction {
                Direction::Request => {
                    let call = |vm: &mut Vm| vm.on_request_body(id, size, end);
                    self.callback("proxy_on_request_body", call, |status| status.name())
                }
                Direction::Response => {
                    let call = |vm: &mut Vm| vm.on_response_body(id, size, end);
                    self.callback("proxy_on_response_body", call, |status| status.name())
                }
            };
            self.check(id)?;
            match status {
                FilterDataStatus::StopIterationAndBuffer | FilterDataStatus::StopIterationAndWatermark => {
                    body_held = true
                }
                FilterDataStatus::StopIterationNoBuffer => {
                    body_held = true;
                    self.with(id, |stream| {
                        if let Some(body) = &mut stream.halves[direction as usize].body {
                            body.clear();
                        }
                    });
                }
                _ => body_held = false,
            }
            // Asked for by now, it goes on at once: also what this callback wanted to keep.
            if self.take_resumed(id, direction) {
                body_held = false;
            }
            if !body_held {
                self.release_headers(id, direction, &mut forwarded);
                headers_held = false;
                self.release_body(id, direction, &mut forwarded);
            }
        }

        if !trailers.is_empty() {
            let count = trailers.len();
            self.with(id, |stream| stream.halves[direction as usize].trailers = Some(trailers));
            let status = match direction {
                Direction::Request => {
                    let call = |vm: &mut Vm| vm.on_request_trailers(id, count);
                    self.callback("proxy_on_request_trailers", call, |status| status.name())
                }
                Direction::Response => {
                    let call = |vm: &mut Vm| vm.on_response_trailers(id, count);
                    self.callback("proxy_on_response_trailers", call, |status| status.name())
                }
            };
            self.check(id)?;
            if status == FilterTrailersStatus::StopIteration {
                self.wait(id, direction)?;
            }
        } else if headers_held || body_held {
            self.wait(id, direction)?;
        }
        self.release_headers(id, direction, &mut forwarded);
        self.release_body(id, direction, &mut forwarded);
        forwarded.trailers =
            self.with(id, |stream| stream.halves[direction as usize].trailers.clone()).unwrap_or_default();
        Ok(forwarded)
    }

    /// The headers go on as they are now; later changes to them reach nobody.
    fn release_headers(&mut self, id: ContextId, direction: Direction, forwarded: &mut Message) {
        if forwarded.headers.is_empty() {
            forwarded.headers =
                self.with(id, |stream| stream.halves[direction as usize].headers.clone()).unwrap_or_default();
        }
    }

    fn release_body(&mut self, id: ContextId, direction: Direction, forwarded: &mut Message) {
        if let Some(body) = self.with(id, |stream| stream.halves[direction as usize].body.take())
            && !body.is_empty()
        {
            forwarded.chunks.push(body);
        }
    }

    /// Delivers what is to come until the plugin resumes the direction or ends the stream.
    fn wait(&mut self, id: ContextId, direction: Direction) -> Result<(), Ended> {
        loop {
            if self.take_resumed(id, direction) {
                return Ok(());
            }
            if !self.deliver_next() {
                return Err(Ended);
            }
            self.check(id)?;
        }
    }

    fn take_resumed(&mut self, id: ContextId, direction: Direction) -> bool {
        self.with(id, |stream| std::mem::take(&mut stream.halves[direction as usize].resumed))
    }

    fn check(&mut self, id: ContextId) -> Result<(), Ended> {
        let ended = self.with(id, |stream| stream.failed || stream.closed || stream.local_response.is_some());
        if ended { Err(Ended) } else { Ok(()) }
    }

    /// What the client gets of a stream that the plugin ended.
    fn ended(&mut self, id: ContextId, upstream_request: Option<UpstreamRequest>) -> Exchange {
        let (failed, closed, local) =
            self.with(id, |stream| (stream.failed, stream.closed, stream.local_response.take()));
        let (outcome, response) = if failed {
            (Outcome::Failed, Response::new(503))
        } else if closed {
            (Outcome::Closed, Response::default())
        } else if let Some(local) = local {
            let outcome = Outcome::LocalResponse {
                details: String::from_utf8_lossy(&local.details).into_owned(),
                grpc_status: local.grpc_status,
            };
            let mut message = local_message(local);
            // The plugin's own response callbacks see it too, unless they have run: as in Envoy.
            if upstream_request.is_none() {
                let headers_of = message.headers.clone();
                message = self
                    .half(id, Direction::Response, message)
                    .unwrap_or(Message { headers: headers_of, ..Message::default() });
            }
            (outcome, Response { message })
        } else {
            (Outcome::Paused, Response::default())
        };
        Exchange { outcome, response, upstream_request }
    }

    fn with<R>(&mut self, id: ContextId, f: impl FnOnce(&mut MemoryStream) -> R) -> R {
        let mut stream = self.plugin.vm().stream_mut(id).expect("the stream lives until its exchange is over");
        f(&mut stream)
    }
}

/// A local reply as a message, with the content length that a proxy adds.
fn local_message(local: LocalResponse) -> Message {
    let mut headers = Headers::from([(":status", local.status_code.to_string())]);
    for (name, value) in local.headers.iter() {
        headers.add(name, value);
    }
    if local.grpc_status >= 0 {
        headers.replace(b"grpc-status", local.grpc_status.to_string().as_bytes());
    }
    let mut chunks = Vec::new();
    if !local.body.is_empty() {
        headers.replace(b"content-length", local.body.len().to_string().as_bytes());
        chunks.push(local.body);
    }
    Message { headers, chunks, trailers: Headers::new() }
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
