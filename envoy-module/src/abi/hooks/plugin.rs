//! What the hooks of all kinds of filters share: the plugin of a configuration, and the filters that Envoy has.

use std::mem::ManuallyDrop;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use dynvm::abi::types::LogLevel;

use super::{EnvoyBuffer, ModulePtr, guard};
use crate::abi::filter_config::FilterConfig;
use crate::abi::process;
use crate::config::Settings;
use crate::deployed::Deployed;
use crate::local::{self, Local};
use crate::log::about;

/// Creates the plugin of a configuration, on Envoy's main thread. Null, after the log has the reason: it is refused.
///
/// # Safety
///
/// Envoy keeps the name and the configuration during the hook.
pub(super) unsafe fn deploy(name: EnvoyBuffer, config: EnvoyBuffer, envoy: impl FnOnce() -> FilterConfig) -> ModulePtr {
    guard(ptr::null, || {
        local::this_is_main();
        // SAFETY: by the caller's promise.
        let (name, config) = unsafe { (String::from_utf8_lossy(name.bytes()), config.bytes()) };
        let deployed = Settings::parse(&name, config).map_err(|error| error.to_string()).and_then(|settings| {
            let deployed = Deployed::new(settings, Arc::new(envoy()))?;
            // What only checks the configuration runs nothing but the trial.
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

/// Envoy destroys a configuration.
///
/// # Safety
///
/// The pointer is from [`deploy`], and Envoy does not use it again.
pub(super) unsafe fn retire(config: ModulePtr) {
    // SAFETY: by the caller's promise.
    let deployed = unsafe { Arc::from_raw(config.cast::<Deployed>()) };
    let retire = || {
        deployed.retire();
        drop(deployed);
        if local::is_main() {
            local::end_retired();
        }
        crate::inbox::wake_workers();
    };
    guard(|| (), retire);
}

/// The plugin of a configuration. Not counted: that would be a write to memory that all workers share, for every stream.
///
/// # Safety
///
/// The pointer is from [`deploy`], and Envoy keeps the configuration while the result is used.
pub(super) unsafe fn borrowed(config: ModulePtr) -> ManuallyDrop<Arc<Deployed>> {
    // SAFETY: by the caller's promise; Envoy's reference is not given up.
    ManuallyDrop::new(unsafe { Arc::from_raw(config.cast::<Deployed>()) })
}

/// A filter on one stream or connection.
pub(super) trait Filter {
    /// Ends the stream after an error of this module itself.
    fn broken(&self);

    /// Envoy destroys the filter.
    fn destroy(&self);
}

/// Runs a hook of a filter. After a panic the stream ends with an error, and the result is `otherwise`.
///
/// # Safety
///
/// The pointer is from `Rc::into_raw` of such a filter, on this thread, and Envoy has not destroyed the filter.
pub(super) unsafe fn run<F: Filter, R>(filter: ModulePtr, otherwise: R, hook: impl FnOnce(&Rc<F>) -> R) -> R {
    let filter = filter.cast::<F>();
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

/// Envoy destroys a filter.
///
/// # Safety
///
/// As [`run`], and Envoy does not use the pointer again.
pub(super) unsafe fn destroy<F: Filter>(filter: ModulePtr) {
    // SAFETY: by the caller's promise.
    let filter = unsafe { Rc::from_raw(filter.cast::<F>()) };
    guard(|| (), || filter.destroy());
    guard(|| (), || drop(filter));
}
