//! Prints an observer's statistics as text, JSON or for Prometheus.

mod json;

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use dynvm::host::{MetricValue, plugin_metrics};
use dynvm::observe::{ModuleSnapshot, Observer, PluginSnapshot};
use owo_colors::OwoColorize as _;

use crate::units::{size, time};

/// Format of statistics.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StatsFormat {
    /// Human-readable tables, after the plugin's output.
    Text,
    /// Prometheus text format only.
    Prometheus,
    /// One JSON object only.
    Json,
}

/// Prints the observer's counters and the metrics defined by the plugin.
pub fn print(format: StatsFormat, observer: &Observer, metrics: &[(String, MetricValue)]) -> anyhow::Result<()> {
    match format {
        StatsFormat::Text => text(observer),
        StatsFormat::Prometheus => print!("{}{}", observer.prometheus(), plugin_metrics(metrics, "")),
        StatsFormat::Json => {
            println!("{}", serde_json::to_string_pretty(&json::Stats::new(&observer.snapshot(), metrics))?);
        }
    }
    Ok(())
}

fn text(observer: &Observer) {
    let seen = observer.snapshot();
    for module in &seen.modules {
        self::module(module);
    }
    for plugin in &seen.plugins {
        self::plugin(plugin);
    }
}

fn module(seen: &ModuleSnapshot) {
    anstream::println!("{} ({})", seen.module.bold(), seen.backend);
    let mut line =
        format!("  VMs: {} created, {} running, {} failed", seen.vms_created, seen.vms_running, seen.vms_failed);
    if let Some(mean) = seen.vm_start.mean() {
        line += &format!(", started in {}", time(nanoseconds(mean)));
    }
    if let Some(bytes) = seen.memory {
        line += &format!(", memory {}", size(bytes));
    }
    anstream::println!("{line}");
}

fn plugin(seen: &PluginSnapshot) {
    let name = if seen.plugin.is_empty() { "(no name)" } else { &seen.plugin };
    anstream::println!("plugin {}", name.bold());
    for (kind, count) in &seen.failures {
        anstream::println!("  {} VMs failed: {count}, {}", "!".red(), kind.name());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["callback", "count", "median", "p99", "total"]);
    for callback in &seen.callbacks {
        let quantile = |share| callback.time.quantile(share).map_or_else(String::new, |at| time(nanoseconds(at)));
        table.add_row([
            callback.callback.describe().name.trim_start_matches("proxy_").to_owned(),
            callback.time.count().to_string(),
            quantile(0.5),
            quantile(0.99),
            time(nanoseconds(callback.time.sum())),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    anstream::println!("{table}");
    anstream::println!("{}", "median and p99 are estimates from histograms with two buckets per power of two".dimmed());
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
