//! Hooks of access loggers.

use std::sync::Arc;

use super::plugin::{borrowed, deploy, retire};
use super::{EnvoyBuffer, EnvoyPtr, ModulePtr, guard};
use crate::abi::access_logger::LogEntry;
use crate::abi::filter_config::FilterConfig;
use crate::access_log;
use crate::deployed::Deployed;

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_access_logger_config_new(
    _: EnvoyPtr,
    name: EnvoyBuffer,
    config: EnvoyBuffer,
) -> ModulePtr {
    // SAFETY: Envoy keeps both during the hook.
    unsafe { deploy(name, config, FilterConfig::none) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_access_logger_config_destroy(config: ModulePtr) {
    // SAFETY: the pointer is from `config_new`, and Envoy does not use it again.
    unsafe { retire(config) }
}

/// A worker's logger is the configuration itself, counted once more.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_access_logger_new(config: ModulePtr, _: EnvoyPtr) -> ModulePtr {
    // SAFETY: the pointer is from `config_new`, and Envoy keeps the configuration for its loggers.
    unsafe { Arc::increment_strong_count(config.cast::<Deployed>()) };
    config
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_access_logger_log(entry: EnvoyPtr, logger: ModulePtr, _: i32) {
    guard(
        || (),
        || {
            // SAFETY: the pointer is from `logger_new`, and Envoy has not destroyed the logger.
            let deployed = unsafe { borrowed(logger) };
            access_log::log(&deployed, LogEntry::new(entry));
        },
    );
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_access_logger_destroy(logger: ModulePtr) {
    // SAFETY: the pointer is from `logger_new`, and Envoy does not use it again.
    guard(|| (), || drop(unsafe { Arc::from_raw(logger.cast::<Deployed>()) }));
}
