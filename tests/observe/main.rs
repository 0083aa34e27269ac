//! The counts of an observer, and the Prometheus page.

mod counts;
mod exposition;
mod failures;
mod page;
mod threads;

use std::sync::Arc;

use dynvm::host::Services;
use dynvm::observe::{Observer, PluginSnapshot};
use dynvm::{BackendKind, Module, VmConfig};
use harness::{Backend, Harness, parts};

const BACKENDS: [Backend; 2] = [Backend::Native, Backend::Wasm];

fn kind(backend: Backend) -> BackendKind {
    match backend {
        Backend::Native => BackendKind::Native,
        Backend::Wasm => BackendKind::Wasm,
        Backend::Null => BackendKind::Null,
    }
}

/// Services of a test, observed.
fn services(observer: &Arc<Observer>) -> Services {
    let mut services = parts().services;
    services.observer = Some(observer.clone());
    services
}

/// A module in an observed VM, with the plugin `probe` started.
fn observed(observer: &Arc<Observer>, module: &Module, script: &str) -> Harness {
    let mut parts = parts();
    parts.services.observer = Some(observer.clone());
    Harness::with(parts, module, VmConfig::default(), script).unwrap_or_else(|(error, _)| panic!("{error}"))
}

/// The snapshot of a plugin.
fn plugin(observer: &Observer, name: &str, backend: Backend) -> PluginSnapshot {
    let plugins = observer.snapshot().plugins;
    let found = plugins.into_iter().find(|plugin| plugin.plugin == name && plugin.backend == kind(backend));
    found.unwrap_or_else(|| panic!("{name} was not seen on {backend:?}"))
}

/// The number of calls of each callback, in the order of the ABI's table.
fn counts(plugin: &PluginSnapshot) -> Vec<(&'static str, u64)> {
    plugin.callbacks.iter().map(|seen| (seen.callback.describe().name, seen.time.count())).collect()
}
