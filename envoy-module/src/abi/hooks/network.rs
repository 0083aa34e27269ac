//! Hooks of TCP connections.

use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use dynvm::abi::types::{LogLevel, PeerType};

use super::{EnvoyBuffer, EnvoyPtr, ModulePtr, guard};
use crate::abi::connection::NetworkFilter;
use crate::abi::filter_config::FilterConfig;
use crate::abi::process;
use crate::config::Settings;
use crate::deployed::Deployed;
use crate::local::{self, Local};
use crate::log::about;
use crate::network::{Connection, status};

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_config_new(
    _: EnvoyPtr,
    name: EnvoyBuffer,
    config: EnvoyBuffer,
) -> ModulePtr {
    guard(ptr::null, || {
        local::this_is_main();
        // SAFETY: Envoy keeps both during the hook.
        let (name, config) = unsafe { (String::from_utf8_lossy(name.bytes()), config.bytes()) };
        let deployed = Settings::parse(&name, config).map_err(|error| error.to_string()).and_then(|settings| {
            // Envoy's metrics and calls for such filters have other functions, without labels and streams.
            let deployed = Deployed::new(settings, Arc::new(FilterConfig::none()))?;
            if !process::is_validation_mode() {
                Local::of(&deployed).ok_or("the plugin does not start")?;
                crate::inbox::wake_workers();
            }
            Ok(deployed)
        });
        match deployed {
            Ok(deployed) => Arc::into_raw(deployed).cast(),
            Err(what) => {
                about(LogLevel::Error, &name, &what);
                ptr::null()
            }
        }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_network_filter_config_destroy(config: ModulePtr) {
    guard(
        || (),
        || {
            // SAFETY: the pointer is from `config_new`, and Envoy does not use it again.
            let deployed = unsafe { Arc::from_raw(config.cast::<Deployed>()) };
            deployed.retire();
            drop(deployed);
            if local::is_main() {
                local::end_retired();
            }
            crate::inbox::wake_workers();
        },
    );
}

/// Runs a hook of a connection. After a panic the connection is closed.
///
/// # Safety
///
/// The pointer is from `filter_new`, on this thread, and Envoy has not destroyed the filter.
unsafe fn connection<R>(filter: ModulePtr, otherwise: R, hook: impl FnOnce(&Rc<Connection>) -> R) -> R {
    let filter = filter.cast::<Connection>();
    // SAFETY: by the caller's promise. Counted, as Envoy may destroy the filter while a hook runs.
    let filter = unsafe {
        Rc::increment_strong_count(filter);
        Rc::from_raw(filter)
    };
    let broken = || {
        guard(|| (), || filter.broken());
        otherwise
    };
    guard(broken, || hook(&filter))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_network_filter_new(config: ModulePtr, envoy: EnvoyPtr) -> ModulePtr {
    guard(ptr::null, || {
        let config = config.cast::<Deployed>();
        // SAFETY: the pointer is from `config_new`, and Envoy keeps the configuration for its filters.
        let deployed = unsafe {
            Arc::increment_strong_count(config);
            Arc::from_raw(config)
        };
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
    let filter = unsafe { Rc::from_raw(filter.cast::<Connection>()) };
    guard(|| (), || filter.destroy());
    guard(|| (), || drop(filter));
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
