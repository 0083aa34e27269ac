//! Envoy's functions, found by name when the module is loaded.
//!
//! A linked import that an Envoy lacks keeps the whole module from loading, as Rust binds all symbols at once. So each
//! function is looked up: one build serves several versions of Envoy, and what a version lacks is missing by itself.

use std::ffi::{CStr, c_void};
use std::sync::OnceLock;

use super::types::{EnvoyBuffer, EnvoyHeader, ModuleBuffer, ModuleHeader};

type Ptr = *mut c_void;

macro_rules! functions {
    ($($name:ident($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// Envoy's functions, without their prefix. `None`: this Envoy does not have it.
        pub(super) struct Functions {
            $(pub(super) $name: Option<unsafe extern "C" fn($($argument),*) $(-> $result)?>,)*
        }

        impl Functions {
            fn find() -> Functions {
                Functions {
                    $($name: {
                        let symbol = find(concat!("envoy_dynamic_module_callback_", stringify!($name), "\0"));
                        // SAFETY: Envoy's ABI declares the function of this name with these types, and a symbol that
                        // was found is a function's address. `None` is null.
                        unsafe { std::mem::transmute::<*mut c_void, Option<unsafe extern "C" fn($($argument),*) $(-> $result)?>>(symbol) }
                    },)*
                }
            }

            /// The names of all functions, each with whether this Envoy has it.
            fn names(&self) -> Vec<(&'static str, bool)> {
                vec![$((stringify!($name), self.$name.is_some()),)*]
            }
        }
    };
}

functions! {
    log(i32, ModuleBuffer);
    log_enabled(i32) -> bool;
    get_log_level() -> i32;
    is_validation_mode() -> bool;

    http_get_header(Ptr, i32, ModuleBuffer, *mut EnvoyBuffer, usize, *mut usize) -> bool;
    http_get_headers_size(Ptr, i32) -> usize;
    http_get_headers(Ptr, i32, *mut EnvoyHeader) -> bool;
    http_add_header(Ptr, i32, ModuleBuffer, ModuleBuffer) -> bool;
    http_set_header(Ptr, i32, ModuleBuffer, ModuleBuffer) -> bool;
    http_send_response(Ptr, u32, *const ModuleHeader, usize, ModuleBuffer, ModuleBuffer);
    http_get_body_size(Ptr, i32) -> usize;
    http_get_body_chunks(Ptr, i32, *mut EnvoyBuffer) -> bool;
    http_get_body_chunks_size(Ptr, i32) -> usize;
    http_append_body(Ptr, i32, ModuleBuffer) -> bool;
    http_drain_body(Ptr, i32, usize) -> bool;
    http_received_buffered_request_body(Ptr) -> bool;
    http_received_buffered_response_body(Ptr) -> bool;
    http_get_metadata_string(Ptr, i32, ModuleBuffer, ModuleBuffer, *mut EnvoyBuffer) -> bool;
    http_get_metadata_number(Ptr, i32, ModuleBuffer, ModuleBuffer, *mut f64) -> bool;
    http_get_metadata_bool(Ptr, i32, ModuleBuffer, ModuleBuffer, *mut bool) -> bool;
    http_set_filter_state_bytes(Ptr, ModuleBuffer, ModuleBuffer) -> bool;
    http_get_filter_state_bytes(Ptr, ModuleBuffer, *mut EnvoyBuffer) -> bool;
    http_set_filter_state_typed(Ptr, ModuleBuffer, ModuleBuffer) -> bool;
    http_get_filter_state_typed(Ptr, ModuleBuffer, *mut EnvoyBuffer) -> bool;
    http_clear_route_cache(Ptr);
    http_filter_get_attribute_string(Ptr, i32, *mut EnvoyBuffer) -> bool;
    http_filter_get_attribute_int(Ptr, i32, *mut u64) -> bool;
    http_filter_get_attribute_bool(Ptr, i32, *mut bool) -> bool;
    http_get_cluster_name(Ptr, *mut EnvoyBuffer) -> bool;
    http_filter_continue_decoding(Ptr);
    http_filter_continue_encoding(Ptr);
    http_filter_reset_stream(Ptr, i32, ModuleBuffer);
    get_most_specific_route_config(Ptr) -> *const c_void;
    http_filter_start_http_stream(Ptr, *mut u64, ModuleBuffer, *const ModuleHeader, usize, ModuleBuffer, bool, u64) -> i32;
    http_filter_reset_http_stream(Ptr, u64);
    http_stream_send_data(Ptr, u64, ModuleBuffer, bool) -> bool;
    http_stream_send_trailers(Ptr, u64, *const ModuleHeader, usize) -> bool;

    http_filter_config_start_http_stream(Ptr, *mut u64, ModuleBuffer, *const ModuleHeader, usize, ModuleBuffer, bool, u64) -> i32;
    http_filter_config_reset_http_stream(Ptr, u64);
    http_filter_config_stream_send_data(Ptr, u64, ModuleBuffer, bool) -> bool;
    http_filter_config_stream_send_trailers(Ptr, u64, *const ModuleHeader, usize) -> bool;
    http_filter_config_scheduler_new(Ptr) -> Ptr;
    http_filter_config_scheduler_commit(Ptr, u64);
    http_filter_config_scheduler_delete(Ptr);
    http_filter_config_define_counter(Ptr, ModuleBuffer, *const ModuleBuffer, usize, *mut usize) -> i32;
    http_filter_config_define_gauge(Ptr, ModuleBuffer, *const ModuleBuffer, usize, *mut usize) -> i32;
    http_filter_config_define_histogram(Ptr, ModuleBuffer, *const ModuleBuffer, usize, *mut usize) -> i32;
    http_filter_config_increment_counter(Ptr, usize, *const ModuleBuffer, usize, u64) -> i32;
    http_filter_config_increment_gauge(Ptr, usize, *const ModuleBuffer, usize, u64) -> i32;
    http_filter_config_decrement_gauge(Ptr, usize, *const ModuleBuffer, usize, u64) -> i32;
    http_filter_config_set_gauge(Ptr, usize, *const ModuleBuffer, usize, u64) -> i32;
    http_filter_config_record_histogram_value(Ptr, usize, *const ModuleBuffer, usize, u64) -> i32;
    http_filter_increment_counter(Ptr, usize, *const ModuleBuffer, usize, u64) -> i32;
    http_filter_increment_gauge(Ptr, usize, *const ModuleBuffer, usize, u64) -> i32;
    http_filter_decrement_gauge(Ptr, usize, *const ModuleBuffer, usize, u64) -> i32;
    http_filter_set_gauge(Ptr, usize, *const ModuleBuffer, usize, u64) -> i32;
    http_filter_record_histogram_value(Ptr, usize, *const ModuleBuffer, usize, u64) -> i32;

    network_filter_get_read_buffer_size(Ptr) -> usize;
    network_filter_get_read_buffer_chunks_size(Ptr) -> usize;
    network_filter_get_read_buffer_chunks(Ptr, *mut EnvoyBuffer) -> bool;
    network_filter_drain_read_buffer(Ptr, usize) -> bool;
    network_filter_append_read_buffer(Ptr, ModuleBuffer) -> bool;
    network_filter_get_write_buffer_size(Ptr) -> usize;
    network_filter_get_write_buffer_chunks_size(Ptr) -> usize;
    network_filter_get_write_buffer_chunks(Ptr, *mut EnvoyBuffer) -> bool;
    network_filter_drain_write_buffer(Ptr, usize) -> bool;
    network_filter_append_write_buffer(Ptr, ModuleBuffer) -> bool;
    network_filter_continue_reading(Ptr);
    network_filter_close_with_details(Ptr, i32, ModuleBuffer);
    network_filter_get_remote_address(Ptr, *mut EnvoyBuffer, *mut u32) -> bool;
    network_filter_get_local_address(Ptr, *mut EnvoyBuffer, *mut u32) -> bool;
    network_filter_get_attribute_string(Ptr, i32, *mut EnvoyBuffer) -> bool;
    network_filter_get_attribute_int(Ptr, i32, *mut u64) -> bool;

    access_logger_get_headers_size(Ptr, i32) -> usize;
    access_logger_get_headers(Ptr, i32, *mut EnvoyHeader) -> bool;
    access_logger_get_attribute_string(Ptr, i32, *mut EnvoyBuffer) -> bool;
    access_logger_get_attribute_int(Ptr, i32, *mut u64) -> bool;
    access_logger_get_attribute_bool(Ptr, i32, *mut bool) -> bool;

    cluster_pre_init_complete(Ptr);
    cluster_scheduler_new(Ptr) -> Ptr;
    cluster_scheduler_commit(Ptr, u64);
    cluster_scheduler_delete(Ptr);
    cluster_run_on_all_workers(Ptr, u64);
}

/// Functions that every filter needs.
const REQUIRED: &[&str] = &[
    "log",
    "http_get_header",
    "http_get_headers_size",
    "http_get_headers",
    "http_add_header",
    "http_set_header",
    "http_send_response",
    "http_get_body_size",
    "http_get_body_chunks",
    "http_get_body_chunks_size",
    "http_append_body",
    "http_drain_body",
    "http_filter_continue_decoding",
    "http_filter_continue_encoding",
];

static FUNCTIONS: OnceLock<Functions> = OnceLock::new();

/// Envoy's functions.
#[inline]
pub(super) fn envoy() -> &'static Functions {
    FUNCTIONS.get_or_init(Functions::find)
}

/// The functions that this Envoy lacks.
pub(super) fn missing() -> Vec<&'static str> {
    envoy().names().into_iter().filter(|(_, found)| !found).map(|(name, _)| name).collect()
}

/// The functions that this Envoy lacks and without which no filter works.
pub(super) fn missing_required() -> Vec<&'static str> {
    missing().into_iter().filter(|name| REQUIRED.contains(name)).collect()
}

/// True if this Envoy has a function, whether this module uses it or not.
pub(super) fn has(name: &CStr) -> bool {
    // SAFETY: the name ends with a NUL.
    unsafe { !libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()).is_null() }
}

fn find(name: &str) -> *mut c_void {
    debug_assert!(name.ends_with('\0'));
    // SAFETY: the name ends with a NUL.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr().cast()) }
}
