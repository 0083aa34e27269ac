//! The stream as the plugin's hostcalls see it.

use std::borrow::Cow;
use std::rc::Rc;

use dynvm::abi::types::{BufferType, MapType, StreamType};
use dynvm::host::{self, AbsentMap, Buffer, ForeignError, HeaderMap, LocalResponse, PropertyError, PropertyPath};

use super::body::Body;
use super::headers::Headers;
use super::{Direction, Exchange};
use crate::abi::http_filter::HeaderKind;
use crate::local::{Agenda, Todo};
use crate::properties;

/// The plugin's own response, while the plugin's response callbacks run on it.
#[derive(Default)]
pub(super) struct Own {
    pub(super) headers: host::Headers,
    pub(super) body: Vec<u8>,
}

/// An HTTP stream of Envoy.
pub(super) struct HttpStream {
    exchange: Rc<Exchange>,
    agenda: Rc<Agenda>,
    maps: [Headers; 4],
    bodies: [Body; 2],
    pub(super) own: Option<Box<Own>>,
}

impl HttpStream {
    pub(super) fn new(exchange: &Rc<Exchange>, agenda: Rc<Agenda>) -> HttpStream {
        use HeaderKind::{RequestHeaders, RequestTrailers, ResponseHeaders, ResponseTrailers};
        let map = |kind| Headers { exchange: exchange.clone(), kind };
        let body = |direction| Body { exchange: exchange.clone(), direction };
        HttpStream {
            maps: [RequestHeaders, RequestTrailers, ResponseHeaders, ResponseTrailers].map(map),
            bodies: [Direction::Request, Direction::Response].map(body),
            exchange: exchange.clone(),
            agenda,
            own: None,
        }
    }

    /// The map, if the stream has it by now.
    fn kind(&self, map: MapType) -> Option<HeaderKind> {
        let kind = match map {
            MapType::HttpRequestHeaders => HeaderKind::RequestHeaders,
            MapType::HttpRequestTrailers => HeaderKind::RequestTrailers,
            MapType::HttpResponseHeaders => HeaderKind::ResponseHeaders,
            MapType::HttpResponseTrailers => HeaderKind::ResponseTrailers,
            _ => return None,
        };
        self.exchange.has_arrived(kind).then_some(kind)
    }

    fn body(&self, buffer: BufferType) -> Option<Direction> {
        match buffer {
            BufferType::HttpRequestBody => Some(Direction::Request),
            BufferType::HttpResponseBody => Some(Direction::Response),
            _ => None,
        }
    }
}

impl host::Stream for HttpStream {
    fn header_map(&self, map: MapType) -> Result<&dyn HeaderMap, AbsentMap> {
        if let (MapType::HttpResponseHeaders, Some(own)) = (map, &self.own) {
            return Ok(&own.headers);
        }
        self.kind(map).map(|kind| &self.maps[kind as usize] as &dyn HeaderMap).ok_or(AbsentMap::Empty)
    }

    fn header_map_mut(&mut self, map: MapType) -> Result<&mut dyn HeaderMap, AbsentMap> {
        let kind = self.kind(map);
        if let (MapType::HttpResponseHeaders, Some(own)) = (map, &mut self.own) {
            return Ok(&mut own.headers);
        }
        kind.map(|kind| &mut self.maps[kind as usize] as &mut dyn HeaderMap).ok_or(AbsentMap::Empty)
    }

    fn buffer(&self, buffer: BufferType) -> Option<&dyn Buffer> {
        if let (BufferType::HttpResponseBody, Some(own)) = (buffer, &self.own) {
            return Some(&own.body);
        }
        let body = &self.bodies[self.body(buffer)? as usize];
        body.is_there().then_some(body as &dyn Buffer)
    }

    fn buffer_mut(&mut self, buffer: BufferType) -> Option<&mut dyn Buffer> {
        let direction = self.body(buffer);
        if let (BufferType::HttpResponseBody, Some(own)) = (buffer, &mut self.own) {
            return Some(&mut own.body);
        }
        let body = &mut self.bodies[direction? as usize];
        body.is_there().then_some(body as &mut dyn Buffer)
    }

    fn property(&self, path: PropertyPath<'_>) -> Result<Cow<'_, [u8]>, PropertyError> {
        if let Some(value) = self.exchange.own_property(path) {
            return Ok(Cow::Owned(value));
        }
        properties::of_stream(&self.exchange.filter, path)
            .or_else(|| self.exchange.time_property(path).map(Cow::Owned))
            .ok_or(PropertyError::NotFound)
    }

    fn set_property(&mut self, path: PropertyPath<'_>, value: &[u8]) -> Result<(), PropertyError> {
        self.exchange.set_own_property(path, value);
        Ok(())
    }

    fn has_direction(&self, direction: StreamType) -> bool {
        Direction::of(direction).is_some()
    }

    fn continue_stream(&mut self, direction: StreamType) {
        self.agenda.push(Todo::Continue(self.exchange.clone(), direction));
    }

    fn close_stream(&mut self, _: StreamType) {
        self.agenda.push(Todo::Close(self.exchange.clone()));
    }

    fn send_local_response(&mut self, response: LocalResponse) {
        self.agenda.push(Todo::Reply(self.exchange.clone(), Box::new(response)));
    }

    fn clear_route_cache(&mut self) {
        self.exchange.route_changed();
    }

    fn fail(&mut self, _: StreamType) {
        self.agenda.push(Todo::Fail(self.exchange.clone()));
    }

    fn call_foreign_function(&mut self, name: &[u8], arguments: &[u8]) -> Option<Result<Vec<u8>, ForeignError>> {
        crate::foreign::of_stream(&self.exchange, name, arguments)
    }
}
