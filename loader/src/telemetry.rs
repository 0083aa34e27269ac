//! Lifecycle events and spans of modules, VMs and plugins for the crate `tracing`. Without the
//! feature `tracing` these functions do nothing.
//!
//! No function here is called on the path of a callback. `docs/observability.md` lists the events.

use crate::artifact::ModuleInfo;
use crate::error::{Failure, LoadError, StartError, with_causes};
use crate::observe::Reload;

/// The target of all events, for filters.
#[cfg(feature = "tracing")]
const TARGET: &str = "dynvm";

/// A span that stays entered until dropped.
#[cfg(feature = "tracing")]
pub(crate) type Entered = tracing::span::EnteredSpan;

/// Takes the place of a span in builds without the feature.
#[cfg(not(feature = "tracing"))]
pub(crate) struct Entered;

/// Emits an event. Without the feature, only marks the fields as used.
macro_rules! event {
    ($level:ident, $text:literal, $($field:ident = $value:expr),* $(,)?) => {
        #[cfg(feature = "tracing")]
        tracing::event!(target: TARGET, tracing::Level::$level, $($field = $value,)* $text);
        #[cfg(not(feature = "tracing"))]
        let _ = ($(&$value,)*);
    };
}

/// Enters a span. Without the feature, only marks the fields as used.
macro_rules! span {
    ($name:literal, $($field:ident = $value:expr),* $(,)?) => {{
        #[cfg(feature = "tracing")]
        let entered = tracing::info_span!(target: TARGET, $name, $($field = $value),*).entered();
        #[cfg(not(feature = "tracing"))]
        let entered = {
            let _ = ($(&$value,)*);
            Entered
        };
        entered
    }};
}

pub(crate) fn loading(name: &str) -> Entered {
    span!("load_module", module = name)
}

pub(crate) fn loaded(name: &str, loaded: Result<&ModuleInfo, &LoadError>) {
    match loaded {
        Ok(info) => {
            let (backend, abi_version) = (info.backend().name(), info.abi_version.to_string());
            event!(
                INFO,
                "module loaded",
                module = name,
                backend = backend,
                size_bytes = info.size,
                abi_version = abi_version
            );
            for reason in &info.pinned {
                let reason = reason.to_string();
                event!(INFO, "VMs pinned to their threads", module = name, reason = reason);
            }
            for limitation in &info.limitations {
                let (protection, reason) = (limitation.protection.name(), limitation.reason.as_str());
                event!(WARN, "protection lacking", module = name, protection = protection, reason = reason);
            }
        }
        Err(error) => {
            let error = with_causes(error);
            event!(ERROR, "module refused", module = name, error = error);
        }
    }
}

pub(crate) fn vm_starting(module: &ModuleInfo, vm_id: &str) -> Entered {
    span!("start_vm", module = module.name, backend = module.backend().name(), vm_id = vm_id)
}

/// Runs inside the span of `vm_starting`, which names the VM. `memory` is the VM's memory in bytes,
/// if known.
pub(crate) fn vm_started(memory: Result<Option<u64>, &StartError>) {
    match memory {
        Ok(memory) => {
            event!(INFO, "VM started", memory_bytes = memory);
        }
        Err(error) => {
            let error = with_causes(error);
            event!(ERROR, "VM not started", error = error);
        }
    }
}

/// Runs inside the span of `vm_starting`.
pub(crate) fn vm_uncontained(vm_id: &str, reason: &str) {
    event!(WARN, "crashes not contained", vm_id = vm_id, reason = reason);
}

pub(crate) fn vm_failed(vm_id: &str, plugin: &str, context: u32, failure: &Failure) {
    let (kind, error) = (failure.kind.name(), failure.message.as_str());
    event!(ERROR, "VM failed", vm_id = vm_id, plugin = plugin, context_id = context, kind = kind, error = error);
}

pub(crate) fn plugin_starting(vm_id: &str, plugin: &str) -> Entered {
    span!("start_plugin", vm_id = vm_id, plugin = plugin)
}

pub(crate) fn plugin_started(vm_id: &str, plugin: &str, context: u32, started: &Result<(), StartError>) {
    match started {
        Ok(()) => {
            event!(INFO, "plugin started", vm_id = vm_id, plugin = plugin, context_id = context);
        }
        Err(error) => {
            let error = with_causes(error);
            event!(ERROR, "plugin not started", vm_id = vm_id, plugin = plugin, context_id = context, error = error);
        }
    }
}

pub(crate) fn plugin_stopped(vm_id: &str, plugin: &str, context: u32) {
    event!(INFO, "plugin stopped", vm_id = vm_id, plugin = plugin, context_id = context);
}

pub(crate) fn reloaded(vm_id: &str, plugin: &str, reload: Reload) {
    match reload {
        Reload::Success => {
            event!(INFO, "VM replaced", vm_id = vm_id, plugin = plugin);
        }
        Reload::Failure => {
            event!(ERROR, "VM not replaced", vm_id = vm_id, plugin = plugin);
        }
        Reload::Backoff => {
            event!(DEBUG, "VM not replaced yet", vm_id = vm_id, plugin = plugin);
        }
    }
}
