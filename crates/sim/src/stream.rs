//! A stream of the simulated proxy, as seen by the plugin.

use std::borrow::Cow;
use std::collections::HashMap;

use dynvm::abi::types::{BufferType, MapType, StreamType};
use dynvm::host::{AbsentMap, Buffer, HeaderMap, Headers, LocalResponse, PropertyError, PropertyPath, Stream};

use super::http::{Direction, Flow, LocalReply};

/// One direction of a stream.
#[derive(Default)]
pub(super) struct Half {
    pub(super) headers: Option<Headers>,
    pub(super) trailers: Option<Headers>,
    /// The held part of the body plus the chunk that just arrived. `None` before the body, and after it was forwarded.
    pub(super) body: Option<Vec<u8>>,
    /// Whether the plugin resumed the direction.
    pub(super) resumed: bool,
}

/// A stream: HTTP request and response, or the two directions of a connection.
#[derive(Default)]
pub(super) struct SimStream {
    pub(super) halves: [Half; 2],
    /// Progress of both directions of an HTTP stream.
    pub(super) flows: [Flow; 2],
    /// The plugin's local response, once taken from `local_response`.
    pub(super) local: Option<LocalReply>,
    pub(super) local_response: Option<LocalResponse>,
    pub(super) closed: bool,
    pub(super) failed: bool,
    pub(super) is_tcp: bool,
    pub(super) properties: HashMap<Vec<u8>, Vec<u8>>,
}

fn half_of_map(map: MapType) -> Option<(usize, bool)> {
    match map {
        MapType::HttpRequestHeaders => Some((0, false)),
        MapType::HttpRequestTrailers => Some((0, true)),
        MapType::HttpResponseHeaders => Some((1, false)),
        MapType::HttpResponseTrailers => Some((1, true)),
        _ => None,
    }
}

impl SimStream {
    fn half_of_buffer(&self, buffer: BufferType) -> Option<usize> {
        match (buffer, self.is_tcp) {
            (BufferType::HttpRequestBody, false) | (BufferType::DownstreamData, true) => Some(0),
            (BufferType::HttpResponseBody, false) | (BufferType::UpstreamData, true) => Some(1),
            _ => None,
        }
    }

    fn half_of_direction(&self, direction: StreamType) -> Option<usize> {
        match (direction, self.is_tcp) {
            (StreamType::HttpRequest, false) | (StreamType::Downstream, true) => Some(0),
            (StreamType::HttpResponse, false) | (StreamType::Upstream, true) => Some(1),
            _ => None,
        }
    }
}

impl Stream for SimStream {
    fn header_map(&self, map: MapType) -> Result<&dyn HeaderMap, AbsentMap> {
        let (half, trailers) = half_of_map(map).ok_or(AbsentMap::Empty)?;
        let half = &self.halves[half];
        let map = if trailers { &half.trailers } else { &half.headers };
        map.as_ref().map(|map| map as &dyn HeaderMap).ok_or(AbsentMap::Empty)
    }

    fn header_map_mut(&mut self, map: MapType) -> Result<&mut dyn HeaderMap, AbsentMap> {
        let (half, trailers) = half_of_map(map).ok_or(AbsentMap::Empty)?;
        let half = &mut self.halves[half];
        let map = if trailers { &mut half.trailers } else { &mut half.headers };
        map.as_mut().map(|map| map as &mut dyn HeaderMap).ok_or(AbsentMap::Empty)
    }

    fn buffer(&self, buffer: BufferType) -> Option<&dyn Buffer> {
        self.halves[self.half_of_buffer(buffer)?].body.as_ref().map(|body| body as &dyn Buffer)
    }

    fn buffer_mut(&mut self, buffer: BufferType) -> Option<&mut dyn Buffer> {
        let half = self.half_of_buffer(buffer)?;
        self.halves[half].body.as_mut().map(|body| body as &mut dyn Buffer)
    }

    /// Properties derived from the request's headers, then those set by the plugin.
    fn property(&self, path: PropertyPath<'_>) -> Result<Cow<'_, [u8]>, PropertyError> {
        if let Some(value) = self.properties.get(path.as_bytes()) {
            return Ok(Cow::Borrowed(value));
        }
        let header = |half: usize, name: &[u8]| {
            let value = self.halves[half].headers.as_ref().and_then(|headers| headers.get(name));
            value.map(Cow::Borrowed).ok_or(PropertyError::NotFound)
        };
        match path.as_bytes() {
            b"request\0path" => header(0, b":path"),
            b"request\0method" => header(0, b":method"),
            b"request\0host" => header(0, b":authority"),
            b"request\0scheme" => header(0, b":scheme"),
            b"request\0useragent" => header(0, b"user-agent"),
            b"request\0referer" => header(0, b"referer"),
            b"request\0id" => header(0, b"x-request-id"),
            b"response\0code" => {
                let status = header(1, b":status")?;
                let code = std::str::from_utf8(&status).ok().and_then(|code| code.parse::<i64>().ok());
                code.map(|code| Cow::Owned(code.to_le_bytes().to_vec())).ok_or(PropertyError::NotFound)
            }
            bytes => match bytes.strip_prefix(b"request\0headers\0") {
                Some(name) => header(0, name),
                None => match bytes.strip_prefix(b"response\0headers\0") {
                    Some(name) => header(1, name),
                    None => Err(PropertyError::NotFound),
                },
            },
        }
    }

    fn set_property(&mut self, path: PropertyPath<'_>, value: &[u8]) -> Result<(), PropertyError> {
        self.properties.insert(path.as_bytes().to_vec(), value.to_vec());
        Ok(())
    }

    fn has_direction(&self, direction: StreamType) -> bool {
        self.half_of_direction(direction).is_some()
    }

    fn continue_stream(&mut self, direction: StreamType) {
        if let Some(half) = self.half_of_direction(direction) {
            self.halves[half].resumed = true;
        }
    }

    fn close_stream(&mut self, _: StreamType) {
        self.closed = true;
    }

    fn send_local_response(&mut self, response: LocalResponse) {
        // The first response counts, as in a proxy that has begun to reply.
        self.local_response.get_or_insert(response);
    }

    fn fail(&mut self, _: StreamType) {
        // A failure after a complete response does not reach the client.
        self.failed |= !self.flows[Direction::Response as usize].complete;
    }
}
