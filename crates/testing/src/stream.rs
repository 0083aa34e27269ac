//! An HTTP stream, step by step.

use std::cell::Cell;

use dynvm::abi::types::{FilterDataStatus, FilterHeadersStatus, FilterTrailersStatus};
use dynvm::call_trace::escaped;
use dynvm::host::{HeaderMap as _, Headers};
use dynvm_sim::{Direction, HttpStream, Message, Request, Response, StepError, StreamView};

use crate::{ReceivedMessage, TestHost};

/// An HTTP stream on which things arrive when the test says so.
///
/// What the plugin holds back waits; once it goes on, what has arrived meanwhile is shown to it, and what it lets go on is to be seen. A
/// step that no proxy would take (a body before headers) panics. Dropped, the stream is finished.
pub struct TestStream<'h> {
    host: &'h TestHost,
    stream: HttpStream,
    over: Cell<bool>,
}

impl<'h> TestStream<'h> {
    pub(crate) fn new(host: &'h TestHost, stream: HttpStream) -> TestStream<'h> {
        TestStream { host, stream, over: Cell::new(false) }
    }

    /// Request headers arrive. What the plugin answers is returned; `None`: it does not see them, as the stream is closed or failed.
    #[track_caller]
    pub fn request_headers(&self, headers: impl Into<Headers>, end_of_stream: bool) -> Option<FilterHeadersStatus> {
        self.headers(Direction::Request, headers.into(), end_of_stream)
    }

    /// A chunk of the request's body arrives. `None`: the plugin does not see it now.
    #[track_caller]
    pub fn request_body(&self, chunk: impl Into<Vec<u8>>, end_of_stream: bool) -> Option<FilterDataStatus> {
        self.body(Direction::Request, chunk.into(), end_of_stream)
    }

    /// The request's trailers arrive. `None`: the plugin does not see them now.
    #[track_caller]
    pub fn request_trailers(&self, trailers: impl Into<Headers>) -> Option<FilterTrailersStatus> {
        self.trailers(Direction::Request, trailers.into())
    }

    /// All of a request arrives. What it says of the upstream's answer is left out of account.
    #[track_caller]
    pub fn request(&self, request: Request) {
        self.all(Direction::Request, request.message);
    }

    /// The upstream's response headers arrive.
    #[track_caller]
    pub fn response_headers(&self, headers: impl Into<Headers>, end_of_stream: bool) -> Option<FilterHeadersStatus> {
        self.headers(Direction::Response, headers.into(), end_of_stream)
    }

    /// A chunk of the response's body arrives.
    #[track_caller]
    pub fn response_body(&self, chunk: impl Into<Vec<u8>>, end_of_stream: bool) -> Option<FilterDataStatus> {
        self.body(Direction::Response, chunk.into(), end_of_stream)
    }

    /// The response's trailers arrive.
    #[track_caller]
    pub fn response_trailers(&self, trailers: impl Into<Headers>) -> Option<FilterTrailersStatus> {
        self.trailers(Direction::Response, trailers.into())
    }

    /// All of a response arrives.
    #[track_caller]
    pub fn response(&self, response: Response) {
        self.all(Direction::Response, response.message);
    }

    /// The client or the upstream resets the stream: the plugin is told what it is told of every end, `proxy_on_done`, `proxy_on_log`,
    /// `proxy_on_delete`, and nothing more arrives. What the stream had come to is returned.
    #[track_caller]
    pub fn reset(&self) -> StreamView {
        self.end("the stream is reset")
    }

    /// Ends the stream in order, with the same callbacks.
    #[track_caller]
    pub fn finish(self) -> StreamView {
        self.end("the stream is finished")
    }
}

/// What it has come to.
impl TestStream<'_> {
    /// All of it.
    #[track_caller]
    pub fn view(&self) -> StreamView {
        let view = self.host.memory().look(self.stream);
        match view {
            Ok(view) => view,
            Err(error) => panic!("{error}"),
        }
    }

    /// What has gone on to the upstream so far.
    #[track_caller]
    pub fn upstream(&self) -> ReceivedMessage {
        ReceivedMessage::new("the request to the upstream, so far", self.view().upstream.message)
    }

    /// What has gone on to the client so far.
    #[track_caller]
    pub fn client(&self) -> ReceivedMessage {
        ReceivedMessage::new("the response to the client, so far", self.view().client.message)
    }

    /// Whether the plugin holds the request back.
    #[track_caller]
    pub fn is_request_held(&self) -> bool {
        self.view().request_held
    }

    /// Whether the plugin holds the response back.
    #[track_caller]
    pub fn is_response_held(&self) -> bool {
        self.view().response_held
    }

    /// Asserts that the plugin answered itself, with this status, and returns what the client has got of that.
    #[track_caller]
    pub fn assert_local_reply(&self, status: u32) -> ReceivedMessage {
        let view = self.view();
        assert!(view.local_reply.is_some(), "the plugin has not answered itself: {view:#?}");
        let seen = self.client();
        seen.assert_status(status);
        seen
    }

    /// A property of the stream, as the plugin would read it, its path with dots.
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
        // A test that fails should be told of that, not of what follows from it.
        if !self.over.get() && !std::thread::panicking() {
            self.host.transcript.note("the stream is dropped");
            // Gone with its VM, it needs no end.
            let _ = self.host.drive(|host| host.close(self.stream));
        }
    }
}

/// A request in a line.
pub(crate) fn title(request: &Request) -> String {
    let header = |name: &[u8]| request.message.headers.get(name).map(escaped).unwrap_or_default();
    let size: usize = request.message.chunks.iter().map(Vec::len).sum();
    format!("{} {} with {size} bytes of body", header(b":method"), header(b":path"))
}
