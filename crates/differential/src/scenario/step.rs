//! The steps of a scenario: requests, connections, interleaved streams, clock steps.

use dynvm::host::{HeaderMap as _, Headers};
use dynvm_sim::{Connection, Direction, Request, Response};
use serde::{Deserialize, Serialize};

use super::bytes::{Bytes, Lines};

/// One step.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Step {
    /// A request to the upstream and the response back.
    Request(Box<RequestStep>),
    /// A TCP connection.
    Connection(ConnectionStep),
    /// Interleaved streams, event by event. Streams still open at the end are closed.
    Interleaved(Vec<Event>),
    /// Moves the clock by this number of milliseconds.
    Tick(u64),
}

/// A request with its upstream's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RequestStep {
    /// Method. Default: GET.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Bytes>,
    /// Path. Default: `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Bytes>,
    /// Authority. Default: `example.com`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authority: Option<Bytes>,
    /// Headers beyond these.
    #[serde(skip_serializing_if = "Lines::is_empty")]
    pub headers: Lines,
    /// Body.
    #[serde(skip_serializing_if = "Body::is_none")]
    pub body: Body,
    /// Trailers.
    #[serde(skip_serializing_if = "Lines::is_empty")]
    pub trailers: Lines,
    /// The upstream's answer. Default: status 200 with the request's body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<ResponseStep>,
}

/// The upstream's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResponseStep {
    /// Status. Default: 200.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u32>,
    /// Headers beyond `:status`.
    #[serde(skip_serializing_if = "Lines::is_empty")]
    pub headers: Lines,
    /// Body.
    #[serde(skip_serializing_if = "Body::is_none")]
    pub body: Body,
    /// Trailers.
    #[serde(skip_serializing_if = "Lines::is_empty")]
    pub trailers: Lines,
}

/// A connection: the bytes sent by both sides, in chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionStep {
    /// Chunks from the client.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub downstream: Vec<Bytes>,
    /// Chunks from the upstream.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub upstream: Vec<Bytes>,
}

/// A body: none, one chunk, or several.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Body {
    /// One chunk; empty means no body.
    Whole(Bytes),
    /// Several chunks; some may be empty.
    Chunks(Vec<Bytes>),
}

impl Default for Body {
    fn default() -> Self {
        Body::Chunks(Vec::new())
    }
}

impl Body {
    /// Whether there is no body.
    pub fn is_none(&self) -> bool {
        match self {
            Body::Whole(bytes) => bytes.is_empty(),
            Body::Chunks(chunks) => chunks.is_empty(),
        }
    }

    /// The chunks of the body.
    pub fn chunks(&self) -> Vec<Vec<u8>> {
        match self {
            Body::Whole(bytes) if bytes.is_empty() => Vec::new(),
            Body::Whole(bytes) => vec![bytes.0.clone()],
            Body::Chunks(chunks) => chunks.iter().map(|chunk| chunk.0.clone()).collect(),
        }
    }

    /// A body of these chunks, in the shortest form.
    pub fn of(mut chunks: Vec<Bytes>) -> Body {
        if chunks.len() == 1 && !chunks[0].is_empty() { Body::Whole(chunks.remove(0)) } else { Body::Chunks(chunks) }
    }
}

/// An event of an interleaved step. `stream` is a number chosen by the step.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Event {
    /// A stream begins.
    Open {
        /// Number of the stream.
        stream: u32,
    },
    /// Headers arrive, including pseudo-headers.
    Headers {
        /// Number of the stream.
        stream: u32,
        /// Direction of the message.
        direction: Way,
        /// The headers.
        headers: Lines,
        /// Whether they end the stream.
        #[serde(default)]
        end: bool,
    },
    /// A chunk of body arrives.
    Body {
        /// Number of the stream.
        stream: u32,
        /// Direction of the message.
        direction: Way,
        /// The chunk.
        chunk: Bytes,
        /// Whether the chunk ends the stream.
        #[serde(default)]
        end: bool,
    },
    /// Trailers arrive.
    Trailers {
        /// Number of the stream.
        stream: u32,
        /// Direction of the message.
        direction: Way,
        /// The trailers.
        trailers: Lines,
    },
    /// A stream ends: complete, or reset by its peer.
    Close {
        /// Number of the stream.
        stream: u32,
    },
    /// Moves the clock by this number of milliseconds.
    Tick(u64),
}

/// A direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// From the client to the upstream.
    Request,
    /// From the upstream to the client.
    Response,
}

impl From<Way> for Direction {
    fn from(way: Way) -> Direction {
        match way {
            Way::Request => Direction::Request,
            Way::Response => Direction::Response,
        }
    }
}

impl Event {
    /// The stream of the event, if it has one.
    pub fn stream(&self) -> Option<u32> {
        match self {
            Event::Open { stream }
            | Event::Headers { stream, .. }
            | Event::Body { stream, .. }
            | Event::Trailers { stream, .. }
            | Event::Close { stream } => Some(*stream),
            Event::Tick(_) => None,
        }
    }
}

impl Step {
    /// Number of streams opened by the step.
    pub fn streams(&self) -> u64 {
        match self {
            Step::Request(_) | Step::Connection(_) => 1,
            Step::Interleaved(events) => {
                events.iter().filter(|event| matches!(event, Event::Open { .. })).count() as u64
            }
            Step::Tick(_) => 0,
        }
    }

    /// A title of one line.
    pub fn title(&self) -> String {
        match self {
            Step::Request(request) => request.title(),
            Step::Connection(connection) => {
                format!("connection, {} chunks from downstream", connection.downstream.len())
            }
            Step::Interleaved(events) => format!("{} streams side by side, {} events", self.streams(), events.len()),
            Step::Tick(milliseconds) => format!("{milliseconds} ms pass"),
        }
    }
}

impl RequestStep {
    fn title(&self) -> String {
        let body: usize = self.body.chunks().iter().map(Vec::len).sum();
        let size = if body == 0 { String::new() } else { format!(" ({body} bytes)") };
        let text = |bytes: &Option<Bytes>, default: &str| match bytes {
            Some(bytes) => shortened(bytes),
            None => default.to_owned(),
        };
        format!("{} {}{size}", text(&self.method, "GET"), text(&self.path, "/"))
    }

    /// Converts to the simulated proxy's type.
    pub fn request(&self) -> Request {
        let mut request = Request::new("GET", "/");
        for (name, value) in [(":method", &self.method), (":path", &self.path), (":authority", &self.authority)] {
            if let Some(value) = value {
                request.message.headers.replace(name.as_bytes(), value);
            }
        }
        for (name, value) in &self.headers.0 {
            request = request.header(name, value);
        }
        request.message.chunks = self.body.chunks();
        request.message.trailers = headers(&self.trailers);
        request.upstream = self.response.as_ref().map(ResponseStep::response);
        request
    }
}

impl ResponseStep {
    /// Converts to the simulated proxy's type.
    pub fn response(&self) -> Response {
        response(self.status, &self.headers, &self.body, &self.trailers)
    }
}

impl ConnectionStep {
    /// Converts to the simulated proxy's type.
    pub fn connection(&self) -> Connection {
        let bytes = |chunks: &[Bytes]| chunks.iter().map(|chunk| chunk.0.clone()).collect();
        Connection { downstream: bytes(&self.downstream), upstream: bytes(&self.upstream) }
    }
}

pub(super) fn headers(lines: &Lines) -> Headers {
    lines.0.iter().map(|(name, value)| (name, value)).collect()
}

pub(super) fn response(status: Option<u32>, lines: &Lines, body: &Body, trailers: &Lines) -> Response {
    let mut response = Response::new(status.unwrap_or(200));
    for (name, value) in &lines.0 {
        response = response.header(name, value);
    }
    response.message.chunks = body.chunks();
    response.message.trailers = headers(trailers);
    response
}

/// Shortens bytes for a title.
fn shortened(bytes: &[u8]) -> String {
    const MOST: usize = 100;
    match std::str::from_utf8(bytes) {
        Ok(text) if text.len() <= MOST => text.escape_debug().to_string(),
        _ if bytes.len() <= MOST => bytes.escape_ascii().to_string(),
        _ => format!("{}... ({} bytes)", bytes[..MOST].escape_ascii(), bytes.len()),
    }
}
