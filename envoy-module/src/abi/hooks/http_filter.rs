//! Hooks of HTTP streams, on the worker thread that has the stream.

use std::ptr;
use std::rc::Rc;

use super::plugin::{self, Filter, borrowed};
use super::{EnvoyBuffer, EnvoyHeader, EnvoyPtr, ModulePtr, copy_chunks, copy_headers, guard};
use crate::abi::http_filter::HttpFilter;
use crate::calls::CallEvent;
use crate::http::{Exchange, status};

impl Filter for Exchange {
    fn broken(&self) {
        self.fail();
    }

    fn destroy(&self) {
        Exchange::destroy(self);
    }
}

/// Runs a hook of a stream.
///
/// # Safety
///
/// As [`plugin::run`].
unsafe fn stream<R>(filter: ModulePtr, otherwise: R, hook: impl FnOnce(&Rc<Exchange>) -> R) -> R {
    // SAFETY: by the caller's promise.
    unsafe { plugin::run(filter, otherwise, hook) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_new(config: ModulePtr, envoy: EnvoyPtr) -> ModulePtr {
    guard(ptr::null, || {
        // SAFETY: the pointer is from `config_new`, and Envoy keeps the configuration for its filters.
        let deployed = unsafe { borrowed(config) };
        Rc::into_raw(Exchange::new(&deployed, HttpFilter::new(envoy))).cast()
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_destroy(filter: ModulePtr) {
    // SAFETY: the pointer is from `filter_new`, and Envoy does not use it again.
    unsafe { plugin::destroy::<Exchange>(filter) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(
    _: EnvoyPtr,
    filter: ModulePtr,
    end_of_stream: bool,
) -> i32 {
    // SAFETY: Envoy calls hooks of living filters, on their thread. So below.
    unsafe { stream(filter, status::STOP_ALL, |filter| filter.request_headers(end_of_stream)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_body(
    _: EnvoyPtr,
    filter: ModulePtr,
    end_of_stream: bool,
) -> i32 {
    // SAFETY: as above.
    unsafe { stream(filter, status::STOP_NO_BUFFER, |filter| filter.request_body(end_of_stream)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_trailers(_: EnvoyPtr, filter: ModulePtr) -> i32 {
    // SAFETY: as above.
    unsafe { stream(filter, status::STOP, |filter| filter.request_trailers()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_headers(
    _: EnvoyPtr,
    filter: ModulePtr,
    end_of_stream: bool,
) -> i32 {
    // SAFETY: as above.
    unsafe { stream(filter, status::STOP_ALL, |filter| filter.response_headers(end_of_stream)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_body(
    _: EnvoyPtr,
    filter: ModulePtr,
    end_of_stream: bool,
) -> i32 {
    // SAFETY: as above.
    unsafe { stream(filter, status::STOP_NO_BUFFER, |filter| filter.response_body(end_of_stream)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_trailers(_: EnvoyPtr, filter: ModulePtr) -> i32 {
    // SAFETY: as above.
    unsafe { stream(filter, status::STOP, |filter| filter.response_trailers()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(_: EnvoyPtr, filter: ModulePtr) {
    // SAFETY: as above.
    unsafe { stream(filter, (), |filter| filter.complete()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_headers(
    _: EnvoyPtr,
    filter: ModulePtr,
    id: u64,
    headers: *const EnvoyHeader,
    count: usize,
    _: bool,
) {
    // SAFETY: as above; the lines live during the hook.
    unsafe { stream(filter, (), |filter| filter.call_event(id, CallEvent::Headers(copy_headers(headers, count)))) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_data(
    _: EnvoyPtr,
    filter: ModulePtr,
    id: u64,
    chunks: *const EnvoyBuffer,
    count: usize,
    _: bool,
) {
    // SAFETY: as above; the pieces live during the hook.
    unsafe { stream(filter, (), |filter| filter.call_event(id, CallEvent::Data(copy_chunks(chunks, count)))) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_trailers(
    _: EnvoyPtr,
    filter: ModulePtr,
    id: u64,
    trailers: *const EnvoyHeader,
    count: usize,
) {
    // SAFETY: as above; the lines live during the hook.
    unsafe { stream(filter, (), |filter| filter.call_event(id, CallEvent::Trailers(copy_headers(trailers, count)))) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_complete(_: EnvoyPtr, filter: ModulePtr, id: u64) {
    // SAFETY: as above.
    unsafe { stream(filter, (), |filter| filter.call_event(id, CallEvent::Complete)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_reset(
    _: EnvoyPtr,
    filter: ModulePtr,
    id: u64,
    _: i32,
) {
    // SAFETY: as above.
    unsafe { stream(filter, (), |filter| filter.call_event(id, CallEvent::Reset)) }
}

// Envoy asks for the hooks below too, which nothing here uses.

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_callout_done(
    _: EnvoyPtr,
    _: ModulePtr,
    _: u64,
    _: i32,
    _: *const EnvoyHeader,
    _: usize,
    _: *const EnvoyBuffer,
    _: usize,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_scheduled(_: EnvoyPtr, _: ModulePtr, _: u64) {}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(
    _: EnvoyPtr,
    _: ModulePtr,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(
    _: EnvoyPtr,
    _: ModulePtr,
) {
}
