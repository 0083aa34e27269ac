//! Statistics as JSON.

use std::collections::BTreeMap;

use dynvm::host::MetricValue;
use dynvm::observe::{Distribution, ModuleSnapshot, PluginSnapshot, Snapshot};
use serde::Serialize;

use super::nanoseconds;

#[derive(Serialize)]
pub struct Stats<'a> {
    modules: Vec<Module<'a>>,
    plugins: Vec<Plugin<'a>>,
    /// Metrics defined by the plugin, sorted by name; two of different types may share a name.
    metrics: Vec<Metric<'a>>,
}

#[derive(Serialize)]
struct Module<'a> {
    module: &'a str,
    backend: &'static str,
    vms_running: u64,
    vms_failed: u64,
    vms_created: u64,
    vm_start_errors: u64,
    vm_start: Times,
    memory_bytes: Option<u64>,
    versions: Vec<Version>,
}

#[derive(Serialize)]
struct Version {
    size_bytes: u64,
    abi_version: String,
    vms: u64,
}

#[derive(Serialize)]
struct Plugin<'a> {
    plugin: &'a str,
    backend: &'static str,
    running: u64,
    failed: u64,
    starts: BTreeMap<&'static str, u64>,
    failures: BTreeMap<&'static str, u64>,
    reloads: BTreeMap<&'static str, u64>,
    callbacks: Vec<Callback>,
}

#[derive(Serialize)]
struct Callback {
    callback: &'static str,
    #[serde(flatten)]
    time: Times,
}

/// Median and p99 are estimates from the histogram; null without samples.
#[derive(Serialize)]
struct Times {
    count: u64,
    sum_ns: u64,
    median_ns: Option<u64>,
    p99_ns: Option<u64>,
}

#[derive(Serialize)]
struct Metric<'a> {
    name: &'a str,
    #[serde(flatten)]
    value: Value,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Value {
    Counter { value: u64 },
    Gauge { value: i64 },
    Histogram { count: u64, sum: u64 },
    Unknown,
}

impl<'a> Stats<'a> {
    pub fn new(seen: &'a Snapshot, metrics: &'a [(String, MetricValue)]) -> Stats<'a> {
        Stats {
            modules: seen.modules.iter().map(Module::from).collect(),
            plugins: seen.plugins.iter().map(Plugin::from).collect(),
            metrics: metrics.iter().map(|(name, value)| Metric { name, value: Value::from(value) }).collect(),
        }
    }
}

impl<'a> From<&'a ModuleSnapshot> for Module<'a> {
    fn from(seen: &'a ModuleSnapshot) -> Module<'a> {
        Module {
            module: &seen.module,
            backend: seen.backend.name(),
            vms_running: seen.vms_running,
            vms_failed: seen.vms_failed,
            vms_created: seen.vms_created,
            vm_start_errors: seen.vm_start_errors,
            vm_start: Times::from(&seen.vm_start),
            memory_bytes: seen.memory,
            versions: seen
                .versions
                .iter()
                .map(|version| Version {
                    size_bytes: version.size,
                    abi_version: version.abi_version.to_string(),
                    vms: version.vms,
                })
                .collect(),
        }
    }
}

impl<'a> From<&'a PluginSnapshot> for Plugin<'a> {
    fn from(seen: &'a PluginSnapshot) -> Plugin<'a> {
        let (starts, reloads) = (seen.starts, seen.reloads);
        Plugin {
            plugin: &seen.plugin,
            backend: seen.backend.name(),
            running: seen.running,
            failed: seen.failed,
            starts: [("started", starts.started), ("refused", starts.refused), ("failed", starts.failed)].into(),
            failures: seen.failures.iter().map(|(kind, count)| (kind.name(), *count)).collect(),
            reloads: [("success", reloads.success), ("failure", reloads.failure), ("backoff", reloads.backoff)].into(),
            callbacks: seen
                .callbacks
                .iter()
                .map(|seen| Callback { callback: seen.callback.describe().name, time: Times::from(&seen.time) })
                .collect(),
        }
    }
}

impl From<&Distribution> for Times {
    fn from(times: &Distribution) -> Times {
        Times {
            count: times.count(),
            sum_ns: nanoseconds(times.sum()),
            median_ns: times.quantile(0.5).map(nanoseconds),
            p99_ns: times.quantile(0.99).map(nanoseconds),
        }
    }
}

impl From<&MetricValue> for Value {
    fn from(value: &MetricValue) -> Value {
        match *value {
            MetricValue::Counter(value) => Value::Counter { value },
            MetricValue::Gauge(value) => Value::Gauge { value },
            MetricValue::Histogram { count, sum } => Value::Histogram { count, sum },
            _ => Value::Unknown,
        }
    }
}
