//! Hooks of filter configurations and of those of routes, on Envoy's main thread.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dynvm::abi::types::LogLevel;

use super::plugin::{borrowed, deploy, retire};
use super::{EnvoyBuffer, EnvoyHeader, EnvoyPtr, ModulePtr, copy_chunks, copy_headers, guard};
use crate::abi::filter_config::FilterConfig;
use crate::calls::CallEvent;
use crate::config::RouteSettings;
use crate::deployed::{Deployed, ROUTES_HAVE_CONFIGS, RouteConfig};
use crate::local::{self, Local};
use crate::log::about;

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
    envoy: EnvoyPtr,
    name: EnvoyBuffer,
    config: EnvoyBuffer,
) -> ModulePtr {
    // SAFETY: Envoy keeps both during the hook.
    unsafe { deploy(name, config, || FilterConfig::new(envoy)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(config: ModulePtr) {
    // SAFETY: the pointer is from `config_new`, and Envoy does not use it again.
    unsafe { retire(config) }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_new(
    name: EnvoyBuffer,
    config: EnvoyBuffer,
) -> ModulePtr {
    guard(ptr::null, || {
        local::this_is_main();
        // SAFETY: Envoy keeps both during the hook.
        let (name, config) = unsafe { (String::from_utf8_lossy(name.bytes()), config.bytes()) };
        let route = match RouteSettings::parse(&name, config) {
            Ok(RouteSettings::Disabled) => Ok(RouteConfig::Disabled),
            Ok(RouteSettings::Plugin(settings)) => {
                Deployed::new(*settings, Arc::new(FilterConfig::none())).map(RouteConfig::Plugin)
            }
            Err(error) => Err(error.to_string()),
        };
        match route {
            Ok(route) => {
                ROUTES_HAVE_CONFIGS.store(true, Ordering::Relaxed);
                Box::into_raw(Box::new(route)).cast_const().cast()
            }
            Err(what) => {
                about(LogLevel::Error, &name, &format!("configuration of a route: {what}"));
                ptr::null()
            }
        }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_destroy(config: ModulePtr) {
    guard(
        || (),
        || {
            // SAFETY: the pointer is from `per_route_config_new`, and Envoy does not use it again.
            let route = unsafe { Box::from_raw(config.cast_mut().cast::<RouteConfig>()) };
            if let RouteConfig::Plugin(deployed) = *route {
                deployed.retire();
            }
        },
    );
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_scheduled(_: EnvoyPtr, config: ModulePtr, _: u64) {
    guard(
        || (),
        || {
            // SAFETY: the configuration lives during its hook.
            let deployed = unsafe { borrowed(config) };
            if let Some(local) = Local::of(&deployed) {
                local.look_after();
            }
        },
    );
}

/// An event of a call of a configuration.
///
/// # Safety
///
/// The configuration lives.
unsafe fn call_event(config: ModulePtr, id: u64, event: impl FnOnce() -> CallEvent) {
    guard(
        || (),
        || {
            // SAFETY: by the caller's promise.
            let deployed = unsafe { borrowed(config) };
            if let Some(local) = Local::of(&deployed) {
                local.shared.calls.on_carried_event(id, event());
                local.work_off();
            }
        },
    );
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_headers(
    _: EnvoyPtr,
    config: ModulePtr,
    id: u64,
    headers: *const EnvoyHeader,
    count: usize,
    _: bool,
) {
    // SAFETY: all that Envoy passes lives during the hook.
    unsafe { call_event(config, id, || CallEvent::Headers(copy_headers(headers, count))) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_data(
    _: EnvoyPtr,
    config: ModulePtr,
    id: u64,
    chunks: *const EnvoyBuffer,
    count: usize,
    _: bool,
) {
    // SAFETY: as above.
    unsafe { call_event(config, id, || CallEvent::Data(copy_chunks(chunks, count))) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_trailers(
    _: EnvoyPtr,
    config: ModulePtr,
    id: u64,
    trailers: *const EnvoyHeader,
    count: usize,
) {
    // SAFETY: as above.
    unsafe { call_event(config, id, || CallEvent::Trailers(copy_headers(trailers, count))) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_complete(
    _: EnvoyPtr,
    config: ModulePtr,
    id: u64,
) {
    // SAFETY: as above.
    unsafe { call_event(config, id, || CallEvent::Complete) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_reset(
    _: EnvoyPtr,
    config: ModulePtr,
    id: u64,
    _: i32,
) {
    // SAFETY: as above.
    unsafe { call_event(config, id, || CallEvent::Reset) }
}
