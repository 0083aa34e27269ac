//! Prometheus's text format (version 0.0.4), which OpenTelemetry's collector and Grafana Agent read
//! too.
//!
//! `docs/observability.md` lists the metrics.

mod page;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::histogram::Distribution;
use super::snapshot::{ModuleSnapshot, PluginSnapshot, Snapshot};
use crate::error::FailureKind;
use page::Seconds;
pub use page::{Collect, Page};

/// Content type of a page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes the loader's metrics, then those of the collectors.
pub(super) fn write(to: &mut impl fmt::Write, seen: &Snapshot, collectors: &[Arc<dyn Collect>]) -> fmt::Result {
    let mut page = Page::new(to);
    modules(&mut page, &seen.modules)?;
    plugins(&mut page, &seen.plugins)?;
    collectors.iter().try_for_each(|collector| collector.collect(&mut page))?;
    page.finish()
}

fn modules(page: &mut Page<'_>, modules: &[ModuleSnapshot]) -> fmt::Result {
    let labels = |module: &ModuleSnapshot| [("module", module.module.clone()), ("backend", module.backend.to_string())];

    page.family("dynvm_module_info", "gauge", "Versions of modules with live VMs, including failed ones.")?;
    for module in modules {
        for version in &module.versions {
            let mut labels = labels(module).to_vec();
            labels.push(("abi_version", version.abi_version.to_string()));
            labels.push(("size_bytes", version.size.to_string()));
            page.sample("dynvm_module_info", &labels, 1)?;
        }
    }
    page.family("dynvm_module_limitations", "gauge", "Protections that VMs of the module lack.")?;
    for module in modules {
        for protection in &module.limitations {
            let mut labels = labels(module).to_vec();
            labels.push(("protection", protection.to_string()));
            page.sample("dynvm_module_limitations", &labels, 1)?;
        }
    }
    page.family("dynvm_module_pinned", "gauge", "Whether VMs of the module have to stay on their threads.")?;
    for module in modules {
        page.sample("dynvm_module_pinned", &labels(module), u8::from(module.pinned))?;
    }
    page.family("dynvm_vms", "gauge", "Live VMs by state.")?;
    for module in modules {
        for (state, count) in [("running", module.vms_running), ("failed", module.vms_failed)] {
            let mut labels = labels(module).to_vec();
            labels.push(("state", state.to_owned()));
            page.sample("dynvm_vms", &labels, count)?;
        }
    }
    page.family("dynvm_vms_uncontained", "gauge", "Live VMs whose crash ends the process.")?;
    for module in modules {
        page.sample("dynvm_vms_uncontained", &labels(module), module.vms_uncontained)?;
    }
    page.family("dynvm_vms_created_total", "counter", "VMs created.")?;
    for module in modules {
        page.sample("dynvm_vms_created_total", &labels(module), module.vms_created)?;
    }
    page.family("dynvm_vm_start_errors_total", "counter", "VMs that failed to start.")?;
    for module in modules {
        page.sample("dynvm_vm_start_errors_total", &labels(module), module.vm_start_errors)?;
    }
    page.family("dynvm_vm_start_duration_seconds", "histogram", "Time to create a VM and run its start functions.")?;
    for module in modules {
        histogram(page, "dynvm_vm_start_duration_seconds", &labels(module), &module.vm_start)?;
    }
    page.family("dynvm_vm_memory_bytes", "gauge", "Memory of live VMs, if known.")?;
    for module in modules {
        if let Some(bytes) = module.memory {
            page.sample("dynvm_vm_memory_bytes", &labels(module), bytes)?;
        }
    }
    Ok(())
}

fn plugins(page: &mut Page<'_>, plugins: &[PluginSnapshot]) -> fmt::Result {
    page.family("dynvm_plugins", "gauge", "Live VMs of the plugin by state.")?;
    for plugin in plugins {
        for (state, count) in [("running", plugin.running), ("failed", plugin.failed)] {
            page.sample("dynvm_plugins", &labels(plugin, "state", state), count)?;
        }
    }
    page.family("dynvm_plugin_starts_total", "counter", "Starts of the plugin by result.")?;
    for plugin in plugins {
        let starts = &plugin.starts;
        for (result, count) in [("started", starts.started), ("refused", starts.refused), ("failed", starts.failed)] {
            page.sample("dynvm_plugin_starts_total", &labels(plugin, "result", result), count)?;
        }
    }
    page.family(
        "dynvm_vm_failures_total",
        "counter",
        "VMs that failed in a callback of the plugin, by kind of failure.",
    )?;
    for plugin in plugins {
        // Kinds without failures are on the page too, so that the first failure is an increase.
        for kind in FailureKind::ALL {
            let count = plugin.failures.iter().find(|(known, _)| *known == kind).map_or(0, |(_, count)| *count);
            page.sample("dynvm_vm_failures_total", &labels(plugin, "kind", kind.name()), count)?;
        }
    }
    page.family("dynvm_vm_reloads_total", "counter", "Replacements of failed VMs, by result.")?;
    for plugin in plugins {
        let reloads = &plugin.reloads;
        for (result, count) in
            [("success", reloads.success), ("failure", reloads.failure), ("backoff", reloads.backoff)]
        {
            page.sample("dynvm_vm_reloads_total", &labels(plugin, "result", result), count)?;
        }
    }
    page.family("dynvm_callback_duration_seconds", "histogram", "Duration of callbacks, including hostcalls.")?;
    for plugin in plugins {
        for callback in &plugin.callbacks {
            let labels = labels(plugin, "callback", callback.callback.describe().name);
            histogram(page, "dynvm_callback_duration_seconds", &labels, &callback.time)?;
        }
    }
    Ok(())
}

/// The labels of a plugin, and one more.
fn labels(plugin: &PluginSnapshot, name: &'static str, value: &str) -> [(&'static str, String); 3] {
    [("plugin", plugin.plugin.clone()), ("backend", plugin.backend.to_string()), (name, value.to_owned())]
}

fn histogram(page: &mut Page<'_>, name: &str, labels: &[(&'static str, String)], times: &Distribution) -> fmt::Result {
    let bucket = format!("{name}_bucket");
    let mut with_bound = labels.to_vec();
    with_bound.push(("le", String::new()));
    for (bound, count) in times.cumulative() {
        let le = bound.map_or_else(|| "+Inf".to_owned(), |bound: Duration| Seconds(bound).to_string());
        with_bound[labels.len()].1 = le;
        page.sample(&bucket, &with_bound, count)?;
    }
    page.sample(&format!("{name}_sum"), labels, Seconds(times.sum()))?;
    page.sample(&format!("{name}_count"), labels, times.count())
}
