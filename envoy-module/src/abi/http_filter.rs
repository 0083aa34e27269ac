//! One HTTP stream in Envoy, as a filter may use it.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::Ordering;

use dynvm::host::Headers;

use super::AttributeId;
use super::call::{self, StartError};
use super::functions::envoy;
use super::metric::{ChangeFunctions, EnvoyMetric, MetricChange};
use super::types::{EnvoyBuffer, EnvoyHeader, ModuleBuffer, ModuleHeader};
use crate::calls::CallStart;
use crate::deployed::{ROUTES_HAVE_CONFIGS, RouteConfig};

/// One of the four header maps of a stream, by Envoy's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum HeaderKind {
    RequestHeaders,
    RequestTrailers,
    ResponseHeaders,
    ResponseTrailers,
}

/// One of the two parts of a body, by Envoy's number: what arrived with the present event, and what earlier events held
/// back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum BodyPart {
    ReceivedRequest,
    BufferedRequest,
    ReceivedResponse,
    BufferedResponse,
}

/// Where a request's metadata are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum MetadataSource {
    Dynamic,
    Route,
    Cluster,
    Host,
}

/// A filter's stream in Envoy. Its methods do nothing after Envoy has destroyed the filter.
///
/// Bytes that a method returns are Envoy's. They are valid until the stream's headers, bodies, or metadata change, or
/// the present event ends, so callers copy them at once: the loader does so inside the hostcall that asks.
pub struct HttpFilter(Cell<*mut c_void>);

/// Calls a function of Envoy, if it has it, with the filter as the first argument. Must stand in `unsafe`.
macro_rules! call {
    ($self:ident.$name:ident($($argument:expr),*)) => {
        match (envoy().$name, $self.0.get()) {
            (Some(function), filter) if !filter.is_null() => Some(function(filter, $($argument),*)),
            _ => None,
        }
    };
}

// The safety comments below rely on this: the pointer is that of a living filter, as `forget` is called when Envoy destroys
// it, and values are not sent to other threads. Slices given to Envoy outlive the call, which copies them.
impl HttpFilter {
    pub(super) fn new(filter: *mut c_void) -> HttpFilter {
        HttpFilter(Cell::new(filter))
    }

    /// Forgets the stream, which Envoy has destroyed.
    pub fn forget(&self) {
        self.0.set(ptr::null_mut());
    }

    /// True if the stream still exists.
    pub fn is_alive(&self) -> bool {
        !self.0.get().is_null()
    }

    /// The first value of a header. Names are compared without regard to case.
    pub fn header(&self, kind: HeaderKind, name: &[u8]) -> Option<&[u8]> {
        let mut value = EnvoyBuffer::EMPTY;
        let mut count = 0;
        // SAFETY: see above; both results are written before the function returns.
        unsafe {
            call!(self.http_get_header(kind as i32, ModuleBuffer::new(name), &mut value, 0, &mut count))?;
            // An absent header has no value; an empty one is a value of no bytes.
            (count > 0).then(|| value.bytes())
        }
    }

    /// Number of lines in a header map; 0 if there is no such map.
    pub fn header_count(&self, kind: HeaderKind) -> usize {
        // SAFETY: see above.
        unsafe { call!(self.http_get_headers_size(kind as i32)).unwrap_or(0) }
    }

    /// Visits the lines of a header map in order.
    pub fn for_each_header(&self, kind: HeaderKind, visit: &mut dyn FnMut(&[u8], &[u8])) {
        /// Most requests have fewer lines, and need no allocation.
        const FEW: usize = 64;
        let count = self.header_count(kind);
        let (mut few, mut many) = ([EnvoyHeader::EMPTY; FEW], Vec::new());
        let lines = if count <= FEW {
            &mut few[..count]
        } else {
            many.resize(count, EnvoyHeader::EMPTY);
            &mut many[..]
        };
        // SAFETY: see above; there is room for as many lines as there are. The lines are Envoy's, and the visitor has no
        // way to change the map.
        unsafe {
            if count > 0 && call!(self.http_get_headers(kind as i32, lines.as_mut_ptr())) == Some(true) {
                lines.iter().for_each(|line| visit(line.name.bytes(), line.value.bytes()));
            }
        }
    }

    /// Appends a header line.
    pub fn add_header(&self, kind: HeaderKind, name: &[u8], value: &[u8]) {
        let (name, value) = (ModuleBuffer::new(name), ModuleBuffer::new(value));
        // SAFETY: see above.
        unsafe { call!(self.http_add_header(kind as i32, name, value)) };
    }

    /// Sets a header to one value.
    pub fn set_header(&self, kind: HeaderKind, name: &[u8], value: &[u8]) {
        let (name, value) = (ModuleBuffer::new(name), ModuleBuffer::new(value));
        // SAFETY: see above.
        unsafe { call!(self.http_set_header(kind as i32, name, value)) };
    }

    /// Removes all lines of a header.
    pub fn remove_header(&self, kind: HeaderKind, name: &[u8]) {
        // SAFETY: see above; a null value removes the header.
        unsafe { call!(self.http_set_header(kind as i32, ModuleBuffer::new(name), ModuleBuffer::NULL)) };
    }

    /// Answers the request.
    pub fn send_response(&self, code: u32, headers: &Headers, body: &[u8], details: &[u8]) {
        let lines = ModuleHeader::lines(headers);
        let (body, details) = (ModuleBuffer::new(body), ModuleBuffer::new(details));
        // SAFETY: see above.
        unsafe { call!(self.http_send_response(code, lines.as_ptr(), lines.len(), body, details)) };
    }

    /// Length of a part of a body.
    pub fn body_len(&self, part: BodyPart) -> usize {
        // SAFETY: see above.
        unsafe { call!(self.http_get_body_size(part as i32)).unwrap_or(0) }
    }

    /// Visits the pieces of a part of a body in order.
    pub fn for_each_chunk(&self, part: BodyPart, visit: &mut dyn FnMut(&[u8])) {
        // SAFETY: see above; there is room for as many pieces as there are. They are Envoy's, and the visitor has no way
        // to change them.
        unsafe {
            let count = call!(self.http_get_body_chunks_size(part as i32)).unwrap_or(0);
            let mut chunks = vec![EnvoyBuffer::EMPTY; count];
            if count > 0 && call!(self.http_get_body_chunks(part as i32, chunks.as_mut_ptr())) == Some(true) {
                chunks.into_iter().for_each(|chunk| visit(chunk.bytes()));
            }
        }
    }

    /// Removes bytes from the front of a part of a body.
    pub fn drain_body(&self, part: BodyPart, length: usize) -> bool {
        // SAFETY: see above.
        unsafe { call!(self.http_drain_body(part as i32, length)).unwrap_or(false) }
    }

    /// Appends bytes to a part of a body. False if there is no such part now.
    pub fn append_body(&self, part: BodyPart, data: &[u8]) -> bool {
        // SAFETY: see above.
        unsafe { call!(self.http_append_body(part as i32, ModuleBuffer::new(data))).unwrap_or(false) }
    }

    /// True if what arrived with the present event is what another filter had held back.
    pub fn received_is_buffered(&self, part: BodyPart) -> bool {
        // SAFETY: see above.
        unsafe {
            match part {
                BodyPart::ReceivedRequest | BodyPart::BufferedRequest => {
                    call!(self.http_received_buffered_request_body())
                }
                _ => call!(self.http_received_buffered_response_body()),
            }
            .unwrap_or(false)
        }
    }

    /// A text attribute.
    pub fn attribute_string(&self, id: AttributeId) -> Option<&[u8]> {
        let mut value = EnvoyBuffer::EMPTY;
        // SAFETY: see above; the result is written if the function returns true.
        unsafe {
            let found = call!(self.http_filter_get_attribute_string(id as i32, &mut value))?;
            found.then(|| value.bytes())
        }
    }

    /// A number attribute.
    pub fn attribute_int(&self, id: AttributeId) -> Option<u64> {
        let mut value = 0;
        // SAFETY: as above.
        unsafe { call!(self.http_filter_get_attribute_int(id as i32, &mut value))? }.then_some(value)
    }

    /// A boolean attribute.
    pub fn attribute_bool(&self, id: AttributeId) -> Option<bool> {
        let mut value = false;
        // SAFETY: as above.
        unsafe { call!(self.http_filter_get_attribute_bool(id as i32, &mut value))? }.then_some(value)
    }

    /// Name of the cluster to which the request is routed.
    pub fn cluster_name(&self) -> Option<&[u8]> {
        let mut value = EnvoyBuffer::EMPTY;
        // SAFETY: as above.
        unsafe {
            let found = call!(self.http_get_cluster_name(&mut value))?;
            found.then(|| value.bytes())
        }
    }

    /// A text in the metadata.
    pub fn metadata_string(&self, source: MetadataSource, namespace: &[u8], key: &[u8]) -> Option<&[u8]> {
        let mut value = EnvoyBuffer::EMPTY;
        let (namespace, key) = (ModuleBuffer::new(namespace), ModuleBuffer::new(key));
        // SAFETY: as above.
        unsafe {
            let found = call!(self.http_get_metadata_string(source as i32, namespace, key, &mut value))?;
            found.then(|| value.bytes())
        }
    }

    /// A number in the metadata.
    pub fn metadata_number(&self, source: MetadataSource, namespace: &[u8], key: &[u8]) -> Option<f64> {
        let mut value = 0.0;
        let (namespace, key) = (ModuleBuffer::new(namespace), ModuleBuffer::new(key));
        // SAFETY: as above.
        unsafe { call!(self.http_get_metadata_number(source as i32, namespace, key, &mut value))? }.then_some(value)
    }

    /// A boolean in the metadata.
    pub fn metadata_bool(&self, source: MetadataSource, namespace: &[u8], key: &[u8]) -> Option<bool> {
        let mut value = false;
        let (namespace, key) = (ModuleBuffer::new(namespace), ModuleBuffer::new(key));
        // SAFETY: as above.
        unsafe { call!(self.http_get_metadata_bool(source as i32, namespace, key, &mut value))? }.then_some(value)
    }

    /// Sets bytes in the filter state.
    pub fn set_filter_state(&self, key: &[u8], value: &[u8]) -> bool {
        let (key, value) = (ModuleBuffer::new(key), ModuleBuffer::new(value));
        // SAFETY: see above.
        unsafe { call!(self.http_set_filter_state_bytes(key, value)).unwrap_or(false) }
    }

    /// Sets an object in the filter state, made by Envoy's factory of that name.
    pub fn set_filter_state_typed(&self, key: &[u8], value: &[u8]) -> bool {
        let (key, value) = (ModuleBuffer::new(key), ModuleBuffer::new(value));
        // SAFETY: see above.
        unsafe { call!(self.http_set_filter_state_typed(key, value)).unwrap_or(false) }
    }

    /// Bytes in the filter state, or an object there as its text.
    pub fn filter_state(&self, key: &[u8]) -> Option<&[u8]> {
        let mut value = EnvoyBuffer::EMPTY;
        let key = ModuleBuffer::new(key);
        // SAFETY: as above.
        unsafe {
            if call!(self.http_get_filter_state_bytes(key, &mut value)) == Some(true) {
                return Some(value.bytes());
            }
            let found = call!(self.http_get_filter_state_typed(key, &mut value))?;
            found.then(|| value.bytes())
        }
    }

    /// Has Envoy choose the route anew.
    pub fn clear_route_cache(&self) {
        // SAFETY: see above.
        unsafe { call!(self.http_clear_route_cache()) };
    }

    /// Resumes the request. Envoy may run any hook of the stream before this returns.
    pub fn continue_request(&self) {
        // SAFETY: see above.
        unsafe { call!(self.http_filter_continue_decoding()) };
    }

    /// Resumes the response. Envoy may run any hook of the stream before this returns.
    pub fn continue_response(&self) {
        // SAFETY: see above.
        unsafe { call!(self.http_filter_continue_encoding()) };
    }

    /// Resets the stream.
    pub fn reset(&self, details: &[u8]) {
        const LOCAL_RESET: i32 = 0;
        // SAFETY: see above.
        unsafe { call!(self.http_filter_reset_stream(LOCAL_RESET, ModuleBuffer::new(details))) };
    }

    /// Changes a metric of the filter's configuration.
    pub fn change_metric(&self, metric: EnvoyMetric, label: Option<&[u8]>, change: MetricChange) {
        if !self.is_alive() {
            return;
        }
        let functions = ChangeFunctions {
            increment_counter: envoy().http_filter_increment_counter,
            increment_gauge: envoy().http_filter_increment_gauge,
            decrement_gauge: envoy().http_filter_decrement_gauge,
            set_gauge: envoy().http_filter_set_gauge,
            record_histogram: envoy().http_filter_record_histogram_value,
        };
        // SAFETY: see above; the metric is of the stream's configuration.
        unsafe { functions.change(self.0.get(), metric, label, change) };
    }

    /// This module's configuration for the request's route.
    pub fn route_config(&self) -> Option<RouteConfig> {
        // Envoy passes routes to workers after it has created them, with what happened before.
        if !ROUTES_HAVE_CONFIGS.load(Ordering::Relaxed) {
            return None;
        }
        // SAFETY: see above. The pointer is one that this module's hook gave Envoy for a configuration of a route, which
        // Envoy keeps while it uses the route.
        unsafe {
            let config = call!(self.get_most_specific_route_config())?;
            config.cast::<RouteConfig>().as_ref().cloned()
        }
    }

    /// Starts a call that ends with the stream at the latest; see [`call::start`].
    pub fn start_call(&self, id: &Cell<u64>, call: &CallStart) -> Result<(), StartError> {
        // SAFETY: see above.
        unsafe { call::start(envoy().http_filter_start_http_stream, self.0.get(), id, call) }
    }

    /// Sends data on a call.
    pub fn send_call_data(&self, id: u64, data: &[u8], end_stream: bool) -> bool {
        // SAFETY: see above.
        unsafe { call!(self.http_stream_send_data(id, ModuleBuffer::new(data), end_stream)).unwrap_or(false) }
    }

    /// Sends trailers on a call, which end the module's side.
    pub fn send_call_trailers(&self, id: u64, trailers: &Headers) -> bool {
        let lines = ModuleHeader::lines(trailers);
        // SAFETY: see above.
        unsafe { call!(self.http_stream_send_trailers(id, lines.as_ptr(), lines.len())).unwrap_or(false) }
    }

    /// Resets a call. Envoy may run its reset hook before this returns.
    pub fn reset_call(&self, id: u64) {
        // SAFETY: see above.
        unsafe { call!(self.http_filter_reset_http_stream(id)) };
    }
}
