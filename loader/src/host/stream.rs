//! One HTTP stream or TCP connection, as a plugin's stream context accesses it.

use std::any::Any;
use std::borrow::Cow;

use dynvm_abi::types::{BufferType, MapType, StreamType};

use super::{AbsentMap, Buffer, ForeignError, HeaderMap, Headers, PropertyError, PropertyPath};

/// The embedder's side of one stream. Every method has a default, so a stream supports what it
/// overrides.
///
/// The read and write methods are called by hostcalls, while the plugin runs. `continue_stream`,
/// `close_stream`, `send_local_response` and `fail` are called after the callback that requested
/// them has returned, so an implementation can act at once. No method may call into the same VM.
///
/// ```
/// use dynvm::abi::types::MapType;
/// use dynvm::host::{AbsentMap, HeaderMap, Headers, LocalResponse, Stream};
///
/// #[derive(Default)]
/// struct Request {
///     headers: Headers,
///     response: Option<LocalResponse>,
/// }
///
/// impl Stream for Request {
///     fn header_map(&self, map: MapType) -> Result<&dyn HeaderMap, AbsentMap> {
///         match map {
///             MapType::HttpRequestHeaders => Ok(&self.headers),
///             _ => Err(AbsentMap::Empty),
///         }
///     }
///
///     fn header_map_mut(&mut self, map: MapType) -> Result<&mut dyn HeaderMap, AbsentMap> {
///         match map {
///             MapType::HttpRequestHeaders => Ok(&mut self.headers),
///             _ => Err(AbsentMap::Empty),
///         }
///     }
///
///     fn send_local_response(&mut self, response: LocalResponse) {
///         self.response = Some(response);
///     }
/// }
///
/// assert_eq!(Request::default().header_map(MapType::HttpResponseHeaders).err(), Some(AbsentMap::Empty));
/// ```
pub trait Stream: Any {
    /// One of the four header maps of a stream (`HttpRequestHeaders` to `HttpResponseTrailers`), or
    /// the answer to the plugin if the stream does not have it now.
    ///
    /// The maps of a delivered response (`GrpcReceiveInitialMetadata` and later) come from the
    /// loader. A stream is asked for one when no such response is being delivered.
    fn header_map(&self, map: MapType) -> Result<&dyn HeaderMap, AbsentMap> {
        let _ = map;
        Err(AbsentMap::Empty)
    }

    /// The same map, for writing.
    fn header_map_mut(&mut self, map: MapType) -> Result<&mut dyn HeaderMap, AbsentMap> {
        let _ = map;
        Err(AbsentMap::Empty)
    }

    /// The body or connection buffer (`HttpRequestBody` to `UpstreamData`): the data held back by
    /// earlier callbacks, then the chunk that just arrived. `None` if the stream does not have it
    /// now.
    fn buffer(&self, buffer: BufferType) -> Option<&dyn Buffer> {
        let _ = buffer;
        None
    }

    /// The same buffer, for writing.
    fn buffer_mut(&mut self, buffer: BufferType) -> Option<&mut dyn Buffer> {
        let _ = buffer;
        None
    }

    /// A property of this stream in the ABI's encoding: strings as bytes, numbers as 8 bytes little
    /// endian, booleans as one byte.
    fn property(&self, path: PropertyPath<'_>) -> Result<Cow<'_, [u8]>, PropertyError> {
        let _ = path;
        Err(PropertyError::NotFound)
    }

    /// Sets a property of this stream.
    fn set_property(&mut self, path: PropertyPath<'_>, value: &[u8]) -> Result<(), PropertyError> {
        let _ = (path, value);
        Err(PropertyError::NotFound)
    }

    /// True if `continue_stream` and `close_stream` apply to this direction. Otherwise the plugin
    /// gets `Unimplemented`, at which the Rust SDK panics.
    fn has_direction(&self, direction: StreamType) -> bool {
        let _ = direction;
        true
    }

    /// Resumes a direction that a callback has stopped; no effect on one that is not stopped.
    /// Called at the plugin's request, or because the VM failed and the failure policy is `Open`.
    fn continue_stream(&mut self, direction: StreamType) {
        let _ = direction;
    }

    /// Resets the stream, or closes the connection.
    fn close_stream(&mut self, direction: StreamType) {
        let _ = direction;
    }

    /// Notifies that the plugin has requested a local response, while its callback still runs: for
    /// hosts whose header maps change at once. [`send_local_response`](Stream::send_local_response)
    /// follows after the callback.
    fn local_response_requested(&mut self, response: &LocalResponse) {
        let _ = response;
    }

    /// Answers the request with this response instead of the upstream's.
    fn send_local_response(&mut self, response: LocalResponse) {
        let _ = response;
    }

    /// Discards the route chosen for the request (ABI 0.1.0).
    fn clear_route_cache(&mut self) {}

    /// Fails this direction as a proxy ends a broken stream (HTTP: 503), unless all of it has been
    /// forwarded already. The VM failed or is dropped, and no callback will continue the stream.
    ///
    /// Called once per stream and direction, at the time of the failure, for every stream between
    /// its creation and [`Vm::on_done`](crate::Vm::on_done), including those that wait for a
    /// response which will not arrive. Under the failure policy `Open`, all streams but the one in
    /// whose callback the VM failed get [`continue_stream`](Stream::continue_stream) instead.
    fn fail(&mut self, direction: StreamType) {
        let _ = direction;
    }

    /// Calls a foreign function of this stream. `None` if the stream does not have it; then the
    /// host's functions are tried.
    fn call_foreign_function(&mut self, name: &[u8], arguments: &[u8]) -> Option<Result<Vec<u8>, ForeignError>> {
        let _ = (name, arguments);
        None
    }
}

/// A stream without data, for hosts that only start plugins, and for tests.
pub struct ConfigStream;

impl Stream for ConfigStream {}

/// A response that the plugin sends instead of the upstream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalResponse {
    /// HTTP status code.
    pub status_code: u32,
    /// Details for the access log (Envoy: `RESPONSE_CODE_DETAILS`); may be empty.
    pub details: Vec<u8>,
    /// Response body; may be empty.
    pub body: Vec<u8>,
    /// Response headers besides `:status`.
    pub headers: Headers,
    /// gRPC status; -1 if the plugin set none.
    pub grpc_status: i32,
}
