//! HTTP requests and responses as data.

use dynvm::host::{HeaderMap as _, Headers};

use super::PropertyValue;

/// One half of an exchange: headers, body chunks, trailers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Headers, pseudo-headers first.
    pub headers: Headers,
    /// Body chunks, in order of arrival.
    pub chunks: Vec<Vec<u8>>,
    /// Trailers; empty if there are none.
    pub trailers: Headers,
}

impl Message {
    /// The body chunks concatenated.
    pub fn body(&self) -> Vec<u8> {
        self.chunks.concat()
    }
}

/// A request with its upstream's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The request itself.
    pub message: Message,
    /// The upstream's answer; `None`: status 200 and the request's own body.
    pub upstream: Option<Response>,
    /// Properties of the stream: dotted paths and ABI-encoded values.
    pub properties: Vec<(String, Vec<u8>)>,
}

impl Request {
    /// Creates a request with the pseudo-headers of HTTP/2.
    pub fn new(method: &str, path: &str) -> Request {
        let headers =
            Headers::from([(":method", method), (":path", path), (":scheme", "http"), (":authority", "example.com")]);
        Request { message: Message { headers, ..Message::default() }, upstream: None, properties: Vec::new() }
    }

    /// Creates a GET request.
    pub fn get(path: &str) -> Request {
        Request::new("GET", path)
    }

    /// Creates a POST request with a body of one chunk.
    pub fn post(path: &str, body: impl Into<Vec<u8>>) -> Request {
        Request::new("POST", path).body(body)
    }

    /// Adds a header, or replaces a pseudo-header.
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Request {
        let (name, value) = (name.as_ref(), value.as_ref());
        if name.starts_with(b":") {
            self.message.headers.replace(name, value);
        } else {
            self.message.headers.add(name, value);
        }
        self
    }

    /// Adds a body chunk.
    pub fn body(mut self, chunk: impl Into<Vec<u8>>) -> Request {
        self.message.chunks.push(chunk.into());
        self
    }

    /// Adds a trailer.
    pub fn trailer(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Request {
        self.message.trailers.add(name.as_ref(), value.as_ref());
        self
    }

    /// Sets a property of the stream, by dotted path.
    pub fn property(mut self, path: impl Into<String>, value: impl Into<PropertyValue>) -> Request {
        self.properties.push((path.into(), value.into().into_bytes()));
        self
    }

    /// Sets the upstream's answer.
    pub fn upstream(mut self, response: Response) -> Request {
        self.upstream = Some(response);
        self
    }
}

/// A response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The response, with its status in `:status`.
    pub message: Message,
}

impl Response {
    /// Creates a response with a status.
    pub fn new(status: u32) -> Response {
        let headers = Headers::from([(":status", status.to_string())]);
        Response { message: Message { headers, ..Message::default() } }
    }

    /// Adds a header.
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Response {
        self.message.headers.add(name.as_ref(), value.as_ref());
        self
    }

    /// Adds a body chunk.
    pub fn body(mut self, chunk: impl Into<Vec<u8>>) -> Response {
        self.message.chunks.push(chunk.into());
        self
    }

    /// Adds a trailer.
    pub fn trailer(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Response {
        self.message.trailers.add(name.as_ref(), value.as_ref());
        self
    }

    /// The status, if present and numeric.
    pub fn status(&self) -> Option<u32> {
        std::str::from_utf8(self.message.headers.get(b":status")?).ok()?.parse().ok()
    }
}
