//! One direction of an HTTP stream: data that arrives, is held by the plugin, and is forwarded.

use dynvm::abi::types::{FilterDataStatus, FilterHeadersStatus, FilterTrailersStatus};
use dynvm::host::{HeaderMap as _, Headers, LocalResponse};
use dynvm::{ContextId, Vm};

use super::{Direction, LocalReply};
use crate::stream::SimStream;
use crate::{Message, SimProxy};

/// Progress of a direction.
#[derive(Default)]
pub(crate) struct Flow {
    pub(super) begun: bool,
    /// Whether the plugin has seen the end, or produced it.
    pub(super) ended: bool,
    /// Whether the plugin ended the direction with its headers: later data is dropped.
    pub(super) cut: bool,
    /// Whether the plugin stopped iteration at the headers: later data waits unseen.
    stopped: bool,
    pub(super) waiting: Waiting,
    headers_held: bool,
    body_held: bool,
    trailers_held: bool,
    pub(super) headers_gone: bool,
    /// Whether everything was forwarded.
    pub(crate) complete: bool,
    /// The part forwarded so far.
    pub(super) gone: Message,
}

/// Data that arrived while the direction was stopped. The plugin sees it as one chunk.
#[derive(Default)]
pub(super) struct Waiting {
    body: Option<Vec<u8>>,
    trailers: Option<Headers>,
    pub(super) end: bool,
}

impl Flow {
    /// Whether the plugin holds data back.
    pub(super) fn is_held(&self) -> bool {
        self.stopped || self.headers_held || self.body_held || self.trailers_held
    }
}

impl SimStream {
    /// Whether the direction is over: ended by the plugin or its failure.
    pub(super) fn is_over(&self, direction: Direction) -> bool {
        let replied = self.local.as_ref().is_some_and(|local| direction == Direction::Request || !local.passes);
        self.failed || self.closed || self.local_response.is_some() || replied
    }
}

/// Arrivals. They return `None` if the plugin does not see them, now or ever.
impl SimProxy {
    pub(super) fn arrive_headers(
        &mut self,
        id: ContextId,
        direction: Direction,
        headers: Headers,
        end: bool,
    ) -> Option<FilterHeadersStatus> {
        let count = headers.len();
        let shown = self.with(id, |stream| {
            if stream.is_over(direction) {
                return false;
            }
            stream.halves[direction as usize].headers = Some(headers);
            let flow = &mut stream.flows[direction as usize];
            (flow.begun, flow.ended) = (true, end);
            true
        });
        if !shown {
            return None;
        }
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
        self.with(id, |stream| {
            if stream.is_over(direction) {
                return;
            }
            match status {
                FilterHeadersStatus::Continue => stream.release_headers(direction),
                FilterHeadersStatus::ContinueAndEndStream => {
                    stream.release_headers(direction);
                    let flow = &mut stream.flows[direction as usize];
                    (flow.cut, flow.ended) = (true, true);
                }
                FilterHeadersStatus::StopIteration => stream.flows[direction as usize].headers_held = true,
                _ => stream.flows[direction as usize].stopped = true,
            }
        });
        self.settle(id);
        Some(status)
    }

    pub(super) fn arrive_body(
        &mut self,
        id: ContextId,
        direction: Direction,
        chunk: Vec<u8>,
        end: bool,
    ) -> Option<FilterDataStatus> {
        let size = self.with(id, |stream| {
            let flow = &mut stream.flows[direction as usize];
            if flow.stopped {
                flow.waiting.body.get_or_insert_default().extend_from_slice(&chunk);
                flow.waiting.end |= end;
                return None;
            }
            if flow.cut || stream.is_over(direction) {
                return None;
            }
            stream.flows[direction as usize].ended |= end;
            let body = stream.halves[direction as usize].body.get_or_insert_default();
            body.extend_from_slice(&chunk);
            Some(body.len())
        })?;
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
        self.with(id, |stream| {
            if !stream.is_over(direction) {
                stream.after_body(direction, status);
            }
        });
        self.settle(id);
        Some(status)
    }

    pub(super) fn arrive_trailers(
        &mut self,
        id: ContextId,
        direction: Direction,
        trailers: Headers,
    ) -> Option<FilterTrailersStatus> {
        let count = trailers.len();
        let shown = self.with(id, |stream| {
            let flow = &mut stream.flows[direction as usize];
            if flow.stopped {
                flow.waiting.trailers = Some(trailers);
                flow.waiting.end = true;
                return false;
            }
            if flow.cut || stream.is_over(direction) {
                return false;
            }
            stream.flows[direction as usize].ended = true;
            stream.halves[direction as usize].trailers = Some(trailers);
            true
        });
        if !shown {
            return None;
        }
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
        self.with(id, |stream| match status {
            _ if stream.is_over(direction) => {}
            FilterTrailersStatus::StopIteration => stream.flows[direction as usize].trailers_held = true,
            _ => stream.release(direction),
        });
        self.settle(id);
        Some(status)
    }
}

/// Consequences of the plugin's requests.
impl SimProxy {
    /// Resumes every open stream for which the plugin requested it.
    pub(crate) fn settle_all(&mut self) {
        for id in self.open.clone() {
            if self.plugin.vm().stream::<SimStream>(id).is_some() {
                self.settle(id);
            }
        }
    }

    pub(super) fn settle(&mut self, id: ContextId) {
        self.reply_locally(id);
        for direction in [Direction::Request, Direction::Response] {
            self.carry_on(id, direction);
        }
    }

    /// Runs a local reply through the plugin's own response callbacks, unless they have run, as Envoy does.
    fn reply_locally(&mut self, id: ContextId) {
        let message = self.with(id, |stream| {
            if stream.failed || stream.closed {
                return None;
            }
            let response = stream.local_response.take()?;
            if let Some(local) = &mut stream.local {
                // The first reply counts; a second one from the plugin's own response callbacks ends them.
                local.passes = false;
                return None;
            }
            let passes = !stream.flows[Direction::Response as usize].begun;
            let local = LocalReply::new(response, passes);
            let message = local.message.clone();
            stream.local = Some(local);
            passes.then_some(message)
        });
        if let Some(message) = message {
            self.feed(id, Direction::Response, message);
        }
    }

    /// If the plugin resumed the direction, shows it the waiting data and forwards the held data.
    fn carry_on(&mut self, id: ContextId, direction: Direction) {
        let waiting = self.with(id, |stream| {
            // Resuming has no effect if nothing is held.
            let resumed = std::mem::take(&mut stream.halves[direction as usize].resumed);
            let (over, flow) = (stream.is_over(direction), &mut stream.flows[direction as usize]);
            if over || !flow.begun || flow.complete || !resumed {
                return None;
            }
            if std::mem::take(&mut flow.stopped) {
                let waiting = std::mem::take(&mut flow.waiting);
                stream.release_headers(direction);
                return Some(waiting);
            }
            stream.release(direction);
            None
        });
        if let Some(Waiting { body, trailers, end }) = waiting {
            if let Some(body) = body {
                self.arrive_body(id, direction, body, end && trailers.is_none());
            }
            if let Some(trailers) = trailers {
                self.arrive_trailers(id, direction, trailers);
            }
        }
        self.with(id, |stream| {
            let (over, flow) = (stream.is_over(direction), &mut stream.flows[direction as usize]);
            flow.complete |= flow.begun && flow.ended && !flow.is_held() && !over;
        });
    }

    /// Feeds a whole message into the stream.
    pub(super) fn feed(&mut self, id: ContextId, direction: Direction, message: Message) {
        let Message { headers, chunks, trailers } = message;
        let last = chunks.len();
        self.arrive_headers(id, direction, headers, last == 0 && trailers.is_empty());
        for (index, chunk) in chunks.into_iter().enumerate() {
            self.arrive_body(id, direction, chunk, index + 1 == last && trailers.is_empty());
        }
        if !trailers.is_empty() {
            self.arrive_trailers(id, direction, trailers);
        }
    }

    pub(super) fn with<R>(&mut self, id: ContextId, f: impl FnOnce(&mut SimStream) -> R) -> R {
        let mut stream = self.plugin.vm().stream_mut(id).expect("the stream lives until its exchange is over");
        f(&mut stream)
    }
}

/// Forwarding.
impl SimStream {
    fn after_body(&mut self, direction: Direction, status: FilterDataStatus) {
        use FilterDataStatus as Status;
        let flow = &mut self.flows[direction as usize];
        flow.body_held = matches!(
            status,
            Status::StopIterationAndBuffer | Status::StopIterationAndWatermark | Status::StopIterationNoBuffer
        );
        if status == Status::StopIterationNoBuffer
            && let Some(body) = &mut self.halves[direction as usize].body
        {
            body.clear();
        }
        if !self.flows[direction as usize].body_held {
            self.release_headers(direction);
            self.release_body(direction);
        }
    }

    /// Forwards everything held.
    fn release(&mut self, direction: Direction) {
        self.release_headers(direction);
        self.release_body(direction);
        let flow = &mut self.flows[direction as usize];
        flow.trailers_held = false;
        if flow.ended {
            flow.gone.trailers = self.halves[direction as usize].trailers.clone().unwrap_or_default();
        }
    }

    /// Forwards the headers in their current state; later changes have no effect.
    fn release_headers(&mut self, direction: Direction) {
        let flow = &mut self.flows[direction as usize];
        flow.headers_held = false;
        if !std::mem::replace(&mut flow.headers_gone, true) {
            flow.gone.headers = self.halves[direction as usize].headers.clone().unwrap_or_default();
        }
    }

    fn release_body(&mut self, direction: Direction) {
        let flow = &mut self.flows[direction as usize];
        flow.body_held = false;
        if let Some(body) = self.halves[direction as usize].body.take()
            && !body.is_empty()
        {
            flow.gone.chunks.push(body);
        }
    }
}

impl LocalReply {
    /// Converts a local reply to a message, with the content length that a proxy adds.
    fn new(local: LocalResponse, passes: bool) -> LocalReply {
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
        LocalReply {
            message: Message { headers, chunks, trailers: Headers::new() },
            details: String::from_utf8_lossy(&local.details).into_owned(),
            grpc_status: local.grpc_status,
            passes,
        }
    }
}
