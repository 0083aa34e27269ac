//! One HTTP stream or TCP connection, as a plugin's stream context reaches it.

use std::any::Any;
use std::borrow::Cow;

use dynvm_abi::types::{BufferType, MapType, StreamType};

use super::{Buffer, ForeignError, HeaderMap, Headers, PropertyError, PropertyPath};

/// What an embedder gives the VM for each stream. Every method has a default: a stream offers what it overrides.
///
/// The read and write methods are called from hostcalls, while the plugin runs. `continue_stream`, `close_stream`,
/// `send_local_response` and `fail` are called after the callback that asked for them has returned, so an implementation may act at
/// once; it must not call into the same VM from there.
pub trait Stream: Any {
    /// The header map of one of the four types that belong to streams (`HttpRequestHeaders` to `HttpResponseTrailers`), if there is one
    /// now. Without one the plugin's read finds nothing and its write fails with `BadArgument`.
    fn header_map(&self, map: MapType) -> Option<&dyn HeaderMap> {
        let _ = map;
        None
    }

    /// The same map, to change it.
    fn header_map_mut(&mut self, map: MapType) -> Option<&mut dyn HeaderMap> {
        let _ = map;
        None
    }

    /// The body or connection buffer (`HttpRequestBody` to `UpstreamData`), if there is one now: what earlier callbacks kept back plus
    /// the chunk that just arrived.
    fn buffer(&self, buffer: BufferType) -> Option<&dyn Buffer> {
        let _ = buffer;
        None
    }

    /// The same buffer, to change it.
    fn buffer_mut(&mut self, buffer: BufferType) -> Option<&mut dyn Buffer> {
        let _ = buffer;
        None
    }

    /// A property of this stream, encoded as the ABI says (strings raw, numbers 8 bytes little endian, booleans one byte).
    fn property(&self, path: PropertyPath<'_>) -> Result<Cow<'_, [u8]>, PropertyError> {
        let _ = path;
        Err(PropertyError::NotFound)
    }

    /// Sets a property of this stream.
    fn set_property(&mut self, path: PropertyPath<'_>, value: &[u8]) -> Result<(), PropertyError> {
        let _ = (path, value);
        Err(PropertyError::NotFound)
    }

    /// Whether `continue_stream` and `close_stream` mean something for this direction. Where not, the plugin gets `Unimplemented`,
    /// at which the Rust SDK panics.
    fn has_direction(&self, direction: StreamType) -> bool {
        let _ = direction;
        true
    }

    /// Resume a direction that a callback stopped; nothing where none did. The plugin asks for it, or the VM failed and the failure
    /// policy is open.
    fn continue_stream(&mut self, direction: StreamType) {
        let _ = direction;
    }

    /// Reset the stream, or close the connection.
    fn close_stream(&mut self, direction: StreamType) {
        let _ = direction;
    }

    /// The plugin has asked for a local response, and its callback goes on: for hosts whose header maps change at once.
    /// [`send_local_response`](Stream::send_local_response) follows after the callback.
    fn local_response_requested(&mut self, response: &LocalResponse) {
        let _ = response;
    }

    /// Answer the request from here.
    fn send_local_response(&mut self, response: LocalResponse) {
        let _ = response;
    }

    /// Forget the route that was chosen for the request (ABI 0.1.0).
    fn clear_route_cache(&mut self) {}

    /// The VM failed, or is dropped, and no callback will let this stream go on: end this direction as a proxy ends a broken stream
    /// (HTTP: 503), unless all of it has gone on already.
    ///
    /// Every stream between its creation and [`Vm::on_done`](crate::Vm::on_done) is told at once, also one that is held and waits for
    /// an answer that will not come any more: once per stream and direction. Where the failure policy is open, all but the stream in
    /// whose callback the VM failed get [`continue_stream`](Stream::continue_stream) in its place.
    fn fail(&mut self, direction: StreamType) {
        let _ = direction;
    }

    /// A foreign function called from this stream, before the host's own are asked. `None`: this stream does not have it.
    fn call_foreign_function(&mut self, name: &[u8], arguments: &[u8]) -> Option<Result<Vec<u8>, ForeignError>> {
        let _ = (name, arguments);
        None
    }
}

/// A stream with nothing in it: for hosts that only start plugins, and for tests.
pub struct ConfigStream;

impl Stream for ConfigStream {}

/// A response that the plugin sends in place of the upstream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalResponse {
    /// HTTP status.
    pub status_code: u32,
    /// Details for the access log (Envoy's `RESPONSE_CODE_DETAILS`); may be empty.
    pub details: Vec<u8>,
    /// Body; may be empty.
    pub body: Vec<u8>,
    /// Headers beyond `:status`.
    pub headers: Headers,
    /// gRPC status; -1: none given.
    pub grpc_status: i32,
}
