//! A request and its response, as the plugin reads and writes them.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::rc::Rc;

use dynvm::abi::types::{BufferType, MapType, StreamType};
use dynvm::host::{AbsentMap, Buffer, HeaderMap, LocalResponse, PropertyError, PropertyPath, Stream};
use hyper::StatusCode;
use hyper::http::{request, response};
use tokio::sync::Notify;

/// What ends an exchange early.
pub enum Ending {
    /// The plugin answers.
    Local(Box<LocalResponse>),
    /// The proxy answers, with this status and no body.
    Status(StatusCode),
}

impl From<StatusCode> for Ending {
    fn from(status: StatusCode) -> Ending {
        Ending::Status(status)
    }
}

pub struct Exchange {
    pub client: SocketAddr,
    pub request: request::Parts,
    pub request_body: Vec<u8>,
    pub response: Option<response::Parts>,
    pub response_body: Vec<u8>,
    pub ending: Option<Ending>,
    /// Set by `continue_stream`.
    pub resumed: bool,
    /// Wakes the request's task when it may go on or ends.
    pub changed: Rc<Notify>,
}

impl Exchange {
    fn end(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
        self.changed.notify_one();
    }
}

impl Stream for Exchange {
    fn header_map(&self, map: MapType) -> Result<&dyn HeaderMap, AbsentMap> {
        match map {
            MapType::HttpRequestHeaders => Ok(&self.request),
            MapType::HttpResponseHeaders => Ok(self.response.as_ref().ok_or(AbsentMap::Empty)?),
            _ => Err(AbsentMap::Empty),
        }
    }

    fn header_map_mut(&mut self, map: MapType) -> Result<&mut dyn HeaderMap, AbsentMap> {
        match map {
            MapType::HttpRequestHeaders => Ok(&mut self.request),
            MapType::HttpResponseHeaders => Ok(self.response.as_mut().ok_or(AbsentMap::Empty)?),
            _ => Err(AbsentMap::Empty),
        }
    }

    fn buffer(&self, buffer: BufferType) -> Option<&dyn Buffer> {
        match buffer {
            BufferType::HttpRequestBody => Some(&self.request_body),
            BufferType::HttpResponseBody => Some(&self.response_body),
            _ => None,
        }
    }

    fn buffer_mut(&mut self, buffer: BufferType) -> Option<&mut dyn Buffer> {
        match buffer {
            BufferType::HttpRequestBody => Some(&mut self.request_body),
            BufferType::HttpResponseBody => Some(&mut self.response_body),
            _ => None,
        }
    }

    fn property(&self, path: PropertyPath<'_>) -> Result<Cow<'_, [u8]>, PropertyError> {
        match path.dotted().as_str() {
            "source.address" => Ok(self.client.to_string().into_bytes().into()),
            "source.port" => Ok(u64::from(self.client.port()).to_le_bytes().to_vec().into()),
            _ => Err(PropertyError::NotFound),
        }
    }

    fn continue_stream(&mut self, _: StreamType) {
        self.resumed = true;
        self.changed.notify_one();
    }

    fn close_stream(&mut self, _: StreamType) {
        self.end(StatusCode::SERVICE_UNAVAILABLE.into());
    }

    fn send_local_response(&mut self, response: LocalResponse) {
        self.end(Ending::Local(Box::new(response)));
    }

    fn fail(&mut self, _: StreamType) {
        self.end(StatusCode::SERVICE_UNAVAILABLE.into());
    }
}
