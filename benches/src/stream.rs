//! The host's side of a stream.

use dynvm::abi::types::{BufferType, MapType};
use dynvm::host::{AbsentMap, Buffer, HeaderMap, Headers, Stream};

use crate::traffic::Traffic;

/// A request and its response, as the host holds them. Each subject runs a separate clone through the plugin.
#[derive(Clone)]
pub struct BenchStream {
    /// Headers of the request.
    pub request: Headers,
    /// Headers of the response.
    pub response: Headers,
    /// The request's body.
    pub body: Option<Vec<u8>>,
}

impl BenchStream {
    /// As the traffic says.
    pub fn new(traffic: &Traffic) -> BenchStream {
        BenchStream {
            request: traffic.request.iter().map(|(n, v)| (n, v)).collect(),
            response: traffic.response.iter().map(|(n, v)| (n, v)).collect(),
            body: traffic.body.clone(),
        }
    }

    /// The length of the body.
    pub fn body_len(&self) -> usize {
        self.body.as_ref().map_or(0, Vec::len)
    }
}

impl Stream for BenchStream {
    fn header_map(&self, map: MapType) -> Result<&dyn HeaderMap, AbsentMap> {
        match map {
            MapType::HttpRequestHeaders => Ok(&self.request),
            MapType::HttpResponseHeaders => Ok(&self.response),
            _ => Err(AbsentMap::Empty),
        }
    }

    fn header_map_mut(&mut self, map: MapType) -> Result<&mut dyn HeaderMap, AbsentMap> {
        match map {
            MapType::HttpRequestHeaders => Ok(&mut self.request),
            MapType::HttpResponseHeaders => Ok(&mut self.response),
            _ => Err(AbsentMap::Empty),
        }
    }

    fn buffer(&self, buffer: BufferType) -> Option<&dyn Buffer> {
        (buffer == BufferType::HttpRequestBody).then_some(())?;
        self.body.as_ref().map(|body| body as &dyn Buffer)
    }

    fn buffer_mut(&mut self, buffer: BufferType) -> Option<&mut dyn Buffer> {
        (buffer == BufferType::HttpRequestBody).then_some(())?;
        self.body.as_mut().map(|body| body as &mut dyn Buffer)
    }
}
