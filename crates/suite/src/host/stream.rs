//! The stream of a test: the map and the buffer of the running callback, and the plugin's local response.

use std::borrow::Cow;
use std::rc::Rc;

use dynvm::abi::types::{BufferType, MapType};
use dynvm::host::{AbsentMap, Buffer, HeaderMap, LocalResponse, PropertyError, PropertyPath, Stream};

use crate::header_map::SortedHeaders;
use crate::model::Property;

/// Stream callbacks with an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    RequestHeaders,
    RequestBody,
    ResponseHeaders,
    ResponseBody,
}

impl Phase {
    /// Name in suites.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::RequestHeaders => "request_headers",
            Phase::RequestBody => "request_body",
            Phase::ResponseHeaders => "response_headers",
            Phase::ResponseBody => "response_body",
        }
    }

    fn map(self) -> Option<MapType> {
        match self {
            Phase::RequestHeaders => Some(MapType::HttpRequestHeaders),
            Phase::ResponseHeaders => Some(MapType::HttpResponseHeaders),
            Phase::RequestBody | Phase::ResponseBody => None,
        }
    }

    fn buffer(self) -> Option<BufferType> {
        match self {
            Phase::RequestBody => Some(BufferType::HttpRequestBody),
            Phase::ResponseBody => Some(BufferType::HttpResponseBody),
            Phase::RequestHeaders | Phase::ResponseHeaders => None,
        }
    }
}

/// State after a callback: the map or the body, and a local response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) headers: SortedHeaders,
    pub(crate) body: Vec<u8>,
    /// 0 if there is no local response.
    pub(crate) http_status: u32,
    pub(crate) grpc_status: u32,
    pub(crate) details: Vec<u8>,
}

/// The stream of a test.
pub(crate) struct SuiteStream {
    properties: Rc<[Property]>,
    /// The running callback.
    phase: Option<Phase>,
    answer: Answer,
    answered: bool,
}

impl SuiteStream {
    pub(crate) fn new(properties: Rc<[Property]>) -> SuiteStream {
        SuiteStream { properties, phase: None, answer: Answer::default(), answered: false }
    }

    /// Whether the plugin has sent a local response; no further callbacks run then.
    pub(crate) fn is_answered(&self) -> bool {
        self.answered
    }

    /// Begins a callback with a map or a body.
    pub(crate) fn enter(&mut self, phase: Phase, headers: SortedHeaders, body: Vec<u8>) {
        self.phase = Some(phase);
        self.answer = Answer { headers, body, ..Answer::default() };
    }

    /// Ends the callback and returns its result.
    pub(crate) fn leave(&mut self) -> Answer {
        self.phase = None;
        std::mem::take(&mut self.answer)
    }

    fn has_map(&self, map: MapType) -> bool {
        self.phase.and_then(Phase::map) == Some(map)
    }

    fn has_buffer(&self, buffer: BufferType) -> bool {
        self.phase.and_then(Phase::buffer) == Some(buffer)
    }
}

impl Stream for SuiteStream {
    fn header_map(&self, map: MapType) -> Result<&dyn HeaderMap, AbsentMap> {
        self.has_map(map).then_some(&self.answer.headers as &dyn HeaderMap).ok_or(AbsentMap::BadArgument)
    }

    fn header_map_mut(&mut self, map: MapType) -> Result<&mut dyn HeaderMap, AbsentMap> {
        self.has_map(map).then_some(&mut self.answer.headers as &mut dyn HeaderMap).ok_or(AbsentMap::BadArgument)
    }

    fn buffer(&self, buffer: BufferType) -> Option<&dyn Buffer> {
        self.has_buffer(buffer).then_some(&self.answer.body as &dyn Buffer)
    }

    fn buffer_mut(&mut self, buffer: BufferType) -> Option<&mut dyn Buffer> {
        self.has_buffer(buffer).then_some(&mut self.answer.body as &mut dyn Buffer)
    }

    fn property(&self, path: PropertyPath<'_>) -> Result<Cow<'_, [u8]>, PropertyError> {
        let segments: Vec<&[u8]> = path.segments().filter(|segment| !segment.is_empty()).collect();
        let dotted = segments.join(&b'.');
        let property = self.properties.iter().find(|property| property.path.as_bytes() == dotted);
        property.map(|property| Cow::Borrowed(property.value.as_slice())).ok_or(PropertyError::NotFound)
    }

    /// Takes effect immediately if the response is still unsent: the map becomes the local response's.
    fn local_response_requested(&mut self, response: &LocalResponse) {
        let Some(Phase::RequestHeaders | Phase::RequestBody | Phase::ResponseHeaders) = self.phase else { return };
        self.answered = true;
        let answer = &mut self.answer;
        answer.http_status = response.status_code;
        // The Rust SDK sends -1 for no status.
        answer.grpc_status = response.grpc_status as u32;
        answer.details.clone_from(&response.details);
        if self.phase != Some(Phase::RequestBody) {
            answer.body.clone_from(&response.body);
        }
        answer.headers.clear();
        for (name, value) in response.headers.iter() {
            answer.headers.replace(name, value);
        }
    }
}
