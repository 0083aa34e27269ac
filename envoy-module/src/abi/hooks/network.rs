//! Hooks of TCP connections.

use std::ptr;
use std::rc::Rc;

use dynvm::abi::types::PeerType;

use super::plugin::{self, Filter, borrowed, deploy, retire};
use super::{EnvoyBuffer, EnvoyPtr, ModulePtr, guard};
use crate::abi::connection::NetworkFilter;
use crate::abi::filter_config::FilterConfig;
use crate::network::{Connection, status};

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_network_filter_config_new(
    _: EnvoyPtr,
    name: EnvoyBuffer,
    config: EnvoyBuffer,
) -> ModulePtr {
    // SAFETY: Envoy keeps both during the hook. Its metrics and calls for such filters have other functions, without labels
    // and streams.
    unsafe { deploy(name, config, FilterConfig::none) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_network_filter_config_destroy(config: ModulePtr) {
    // SAFETY: the pointer is from `config_new`, and Envoy does not use it again.
    unsafe { retire(config) }
}

impl Filter for Connection {
    fn broken(&self) {
        self.close("dynvm_internal_error");
    }

    fn destroy(&self) {
        Connection::destroy(self);
    }
}

/// Runs a hook of a connection.
///
/// # Safety
///
/// As [`plugin::run`].
unsafe fn connection<R>(filter: ModulePtr, otherwise: R, hook: impl FnOnce(&Rc<Connection>) -> R) -> R {
    // SAFETY: by the caller's promise.
    unsafe { plugin::run(filter, otherwise, hook) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_network_filter_new(config: ModulePtr, envoy: EnvoyPtr) -> ModulePtr {
    guard(ptr::null, || {
        // SAFETY: the pointer is from `config_new`, and Envoy keeps the configuration for its filters.
        let deployed = unsafe { borrowed(config) };
        Rc::into_raw(Connection::new(&deployed, NetworkFilter::new(envoy))).cast()
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_network_filter_new_connection(_: EnvoyPtr, filter: ModulePtr) -> i32 {
    // SAFETY: Envoy calls hooks of living filters, on their thread. So below.
    unsafe { connection(filter, status::STOP, |filter| filter.new_connection()) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_network_filter_read(
    _: EnvoyPtr,
    filter: ModulePtr,
    length: usize,
    end_of_stream: bool,
) -> i32 {
    // SAFETY: as above.
    unsafe { connection(filter, status::STOP, |filter| filter.read(length, end_of_stream)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_network_filter_write(
    _: EnvoyPtr,
    filter: ModulePtr,
    length: usize,
    end_of_stream: bool,
) -> i32 {
    // SAFETY: as above.
    unsafe { connection(filter, status::STOP, |filter| filter.write(length, end_of_stream)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_network_filter_event(_: EnvoyPtr, filter: ModulePtr, event: i32) {
    const REMOTE_CLOSE: i32 = 0;
    const LOCAL_CLOSE: i32 = 1;
    let by = match event {
        REMOTE_CLOSE => PeerType::Remote,
        LOCAL_CLOSE => PeerType::Local,
        _ => return,
    };
    // SAFETY: as above.
    unsafe { connection(filter, (), |filter| filter.closed(by)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_network_filter_destroy(filter: ModulePtr) {
    // SAFETY: the pointer is from `filter_new`, and Envoy does not use it again.
    unsafe { plugin::destroy::<Connection>(filter) }
}

// Envoy asks for the hooks below too, which nothing here uses.

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_http_callout_done(
    _: EnvoyPtr,
    _: ModulePtr,
    _: u64,
    _: i32,
    _: *const super::EnvoyHeader,
    _: usize,
    _: *const EnvoyBuffer,
    _: usize,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_scheduled(_: EnvoyPtr, _: ModulePtr, _: u64) {}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_above_write_buffer_high_watermark(_: EnvoyPtr, _: ModulePtr) {}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_below_write_buffer_low_watermark(_: EnvoyPtr, _: ModulePtr) {}
