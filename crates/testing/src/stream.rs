//! An HTTP stream, step by step.

use std::cell::Cell;

use dynvm::abi::types::{FilterDataStatus, FilterHeadersStatus, FilterTrailersStatus};
use dynvm::call_trace::escaped;
use dynvm::host::{HeaderMap as _, Headers};
use dynvm_sim::{Direction, HttpStream, Message, Request, Response, StepError, StreamView};

use crate::{ReceivedMessage, TestHost};

/// An HTTP stream whose parts arrive when the test delivers them.
///
/// Data that arrives while the plugin holds the stream waits and is shown to the plugin once it
/// resumes. A step that no proxy would take (a body before headers) panics. Dropping the stream
/// finishes it.
pub struct TestStream<'h> {
    host: &'h TestHost,
    stream: HttpStream,
    over: Cell<bool>,
}

impl<'h> TestStream<'h> {
    pub(crate) fn new(host: &'h TestHost, stream: HttpStream) -> TestStream<'h> {
        TestStream { host, stream, over: Cell::new(false) }
    }

    /// Delivers request headers. Returns the plugin's status; `None` if the plugin does not see
    /// them, because the stream is closed or failed.
    #[track_caller]
    pub fn request_headers(&self, headers: impl Into<Headers>, end_of_stream: bool) -> Option<FilterHeadersStatus> {
        self.headers(Direction::Request, headers.into(), end_of_stream)
    }

    /// Delivers a chunk of the request's body. Returns `None` if the plugin does not see it now.
    #[track_caller]
    pub fn request_body(&self, chunk: impl Into<Vec<u8>>, end_of_stream: bool) -> Option<FilterDataStatus> {
        self.body(Direction::Request, chunk.into(), end_of_stream)
    }

    /// Delivers the request's trailers. Returns `None` if the plugin does not see them now.
    #[track_caller]
    pub fn request_trailers(&self, trailers: impl Into<Headers>) -> Option<FilterTrailersStatus> {
        self.trailers(Direction::Request, trailers.into())
    }

    /// Delivers a whole request. Its upstream response is ignored.
    #[track_caller]
    pub fn request(&self, request: Request) {
        self.all(Direction::Request, request.message);
    }

    /// Delivers the upstream's response headers.
    #[track_caller]
    pub fn response_headers(&self, headers: impl Into<Headers>, end_of_stream: bool) -> Option<FilterHeadersStatus> {
        self.headers(Direction::Response, headers.into(), end_of_stream)
    }

    /// Delivers a chunk of the response's body.
    #[track_caller]
    pub fn response_body(&self, chunk: impl Into<Vec<u8>>, end_of_stream: bool) -> Option<FilterDataStatus> {
        self.body(Direction::Response, chunk.into(), end_of_stream)
    }

    /// Delivers the response's trailers.
    #[track_caller]
    pub fn response_trailers(&self, trailers: impl Into<Headers>) -> Option<FilterTrailersStatus> {
        self.trailers(Direction::Response, trailers.into())
    }

    /// Delivers a whole response.
    #[track_caller]
    pub fn response(&self, response: Response) {
        self.all(Direction::Response, response.message);
    }

    /// Resets the stream from the client or the upstream: the plugin gets the same callbacks as at
    /// every end, `proxy_on_done`, `proxy_on_log`, `proxy_on_delete`. Returns the state before the
    /// reset.
    #[track_caller]
    pub fn reset(&self) -> StreamView {
        self.end("the stream is reset")
    }

    /// Finishes the stream normally, with the same callbacks.
    #[track_caller]
    pub fn finish(self) -> StreamView {
        self.end("the stream is finished")
    }
}

/// Observations.
impl TestStream<'_> {
    /// The whole state of the stream.
    #[track_caller]
    pub fn view(&self) -> StreamView {
        let view = self.host.memory().look(self.stream);
        match view {
            Ok(view) => view,
            Err(error) => panic!("{error}"),
        }
    }

    /// The part of the request forwarded to the upstream so far.
    #[track_caller]
    pub fn upstream(&self) -> ReceivedMessage {
        ReceivedMessage::new("the request to the upstream, so far", self.view().upstream.message)
    }

    /// The part of the response forwarded to the client so far.
    #[track_caller]
    pub fn client(&self) -> ReceivedMessage {
        ReceivedMessage::new("the response to the client, so far", self.view().client.message)
    }

    /// Whether the plugin holds the request back.
    #[track_caller]
    pub fn is_request_held(&self) -> bool {
        self.view().request_held
    }

    /// Asserts that the plugin sent a local response with this status, and returns the part received by the client.
    #[track_caller]
    pub fn assert_local_reply(&self, status: u32) -> ReceivedMessage {
        let view = self.view();
        assert!(view.local_reply.is_some(), "the plugin has sent no local response: {view:#?}");
        let seen = self.client();
        seen.assert_status(status);
        seen
    }

    /// A property of the stream by dotted path, as the plugin would read it.
    pub fn property(&self, path: &str) -> Option<Vec<u8>> {
        self.host.memory().stream_property(self.stream, path)
    }
}

impl TestStream<'_> {
    #[track_caller]
    fn headers(&self, direction: Direction, headers: Headers, end: bool) -> Option<FilterHeadersStatus> {
        self.note(direction, "headers arrive", end);
        self.take(|host| host.headers(self.stream, direction, headers, end))
    }

    #[track_caller]
    fn body(&self, direction: Direction, chunk: Vec<u8>, end: bool) -> Option<FilterDataStatus> {
        self.note(direction, &format!("{} bytes of body arrive", chunk.len()), end);
        self.take(|host| host.body(self.stream, direction, chunk, end))
    }

    #[track_caller]
    fn trailers(&self, direction: Direction, trailers: Headers) -> Option<FilterTrailersStatus> {
        self.note(direction, "trailers arrive", true);
        self.take(|host| host.trailers(self.stream, direction, trailers))
    }

    #[track_caller]
    fn all(&self, direction: Direction, message: Message) {
        let Message { headers, chunks, trailers } = message;
        let last = chunks.len();
        self.headers(direction, headers, last == 0 && trailers.is_empty());
        for (index, chunk) in chunks.into_iter().enumerate() {
            self.body(direction, chunk, index + 1 == last && trailers.is_empty());
        }
        if !trailers.is_empty() {
            self.trailers(direction, trailers);
        }
    }

    #[track_caller]
    fn end(&self, what: &str) -> StreamView {
        self.host.transcript.note(what);
        self.over.set(true);
        self.take(|host| host.close(self.stream))
    }

    #[track_caller]
    fn take<R>(&self, step: impl FnOnce(&mut dynvm_sim::SimProxy) -> Result<R, StepError>) -> R {
        match self.host.drive(step) {
            Ok(done) => done,
            Err(error) => panic!("{error}"),
        }
    }

    fn note(&self, direction: Direction, what: &str, end: bool) {
        let end = if end { ", the last" } else { "" };
        self.host
            .transcript
            .note(format!("{}: {what}{end}", if direction == Direction::Request { "request" } else { "response" }));
    }
}

impl Drop for TestStream<'_> {
    fn drop(&mut self) {
        // During a panic, a second failure would hide the first.
        if !self.over.get() && !std::thread::panicking() {
            self.host.transcript.note("the stream is dropped");
            // If its VM is gone, the stream needs no end.
            let _ = self.host.drive(|host| host.close(self.stream));
        }
    }
}

/// A title of one line.
pub(crate) fn title(request: &Request) -> String {
    let header = |name: &[u8]| request.message.headers.get(name).map(escaped).unwrap_or_default();
    let size: usize = request.message.chunks.iter().map(Vec::len).sum();
    format!("{} {} with {size} bytes of body", header(b":method"), header(b":path"))
}
