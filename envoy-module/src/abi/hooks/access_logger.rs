//! Hooks of access loggers.

use std::ptr;
use std::sync::Arc;

use dynvm::abi::types::LogLevel;

use super::{EnvoyBuffer, EnvoyPtr, ModulePtr, guard};
use crate::abi::access_logger::LogEntry;
use crate::abi::filter_config::FilterConfig;
use crate::config::Settings;
use crate::deployed::Deployed;
use crate::log::about;
use crate::{access_log, local};

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_access_logger_config_new(
    _: EnvoyPtr,
    name: EnvoyBuffer,
    config: EnvoyBuffer,
) -> ModulePtr {
    guard(ptr::null, || {
        local::this_is_main();
        // SAFETY: Envoy keeps both during the hook.
        let (name, config) = unsafe { (String::from_utf8_lossy(name.bytes()), config.bytes()) };
        let settings = Settings::parse(&name, config).map_err(|error| error.to_string());
        match settings.and_then(|settings| Deployed::new(settings, Arc::new(FilterConfig::none()))) {
            Ok(deployed) => Arc::into_raw(deployed).cast(),
            Err(what) => {
                about(LogLevel::Error, &name, &what);
                ptr::null()
            }
        }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_access_logger_config_destroy(config: ModulePtr) {
    guard(
        || (),
        || {
            // SAFETY: the pointer is from `config_new`, and Envoy does not use it again.
            let deployed = unsafe { Arc::from_raw(config.cast::<Deployed>()) };
            deployed.retire();
            crate::inbox::wake_workers();
        },
    );
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
            let logger = logger.cast::<Deployed>();
            // SAFETY: the pointer is from `logger_new`, and Envoy has not destroyed the logger.
            let deployed = unsafe {
                Arc::increment_strong_count(logger);
                Arc::from_raw(logger)
            };
            access_log::log(&deployed, LogEntry::new(entry));
        },
    );
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_access_logger_destroy(logger: ModulePtr) {
    // SAFETY: the pointer is from `logger_new`, and Envoy does not use it again.
    guard(|| (), || drop(unsafe { Arc::from_raw(logger.cast::<Deployed>()) }));
}
