//! The result as people and as programs read it.

use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use hdrhistogram::Histogram;
use owo_colors::OwoColorize as _;
use serde::Serialize;

use super::compare::{Comparison, Difference};
use super::measure::{Measured, Times};
use super::{Scenario, Side};
use crate::units::{size, time};

#[derive(Serialize)]
pub struct Report {
    plugin: String,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<Difference>,
    steps: usize,
    native: Build,
    wasm: Build,
    #[serde(skip_serializing_if = "Option::is_none")]
    measured: Option<Numbers>,
    environment: Environment,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Identical,
    Different,
}

#[derive(Serialize)]
struct Build {
    path: String,
    size_bytes: usize,
    abi_version: String,
    load_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

#[derive(Serialize)]
struct Numbers {
    rounds: u64,
    timer_overhead_ns: u64,
    stream: Row,
    callbacks: Vec<Row>,
    start: Row,
    memory_per_vm_bytes: Memory,
}

/// One thing on both sides. Ratios are native to wasm: below 1 native is faster.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    native: Distribution,
    wasm: Distribution,
    ratio_median: f64,
}

#[derive(Serialize)]
struct Distribution {
    count: u64,
    min_ns: u64,
    median_ns: u64,
    p99_ns: u64,
    mean_ns: f64,
}

#[derive(Serialize)]
struct Memory {
    native: Option<u64>,
    wasm: Option<u64>,
}

#[derive(Serialize)]
struct Environment {
    dynvm: &'static str,
    arch: &'static str,
    os: &'static str,
    cpus: usize,
}

impl Distribution {
    fn of(histogram: &Histogram<u64>) -> Distribution {
        Distribution {
            count: histogram.len(),
            min_ns: histogram.min(),
            median_ns: histogram.value_at_quantile(0.5),
            p99_ns: histogram.value_at_quantile(0.99),
            mean_ns: histogram.mean(),
        }
    }
}

impl Row {
    fn of(name: &'static str, native: &Histogram<u64>, wasm: &Histogram<u64>) -> Row {
        let (native, wasm) = (Distribution::of(native), Distribution::of(wasm));
        let ratio_median = native.median_ns as f64 / wasm.median_ns.max(1) as f64;
        Row { name, native, wasm, ratio_median }
    }
}

impl Report {
    pub fn new(
        dir: Option<&Path>,
        sides: &[Side; 2],
        scenario: &Scenario,
        comparison: &Comparison,
        measured: Option<&Measured>,
    ) -> Report {
        let build = |side: &Side, failure: &Option<String>| Build {
            path: side.path.display().to_string(),
            size_bytes: side.module.info().size,
            abi_version: side.module.info().abi_version.to_string(),
            load_ns: side.load.as_nanos() as u64,
            failure: failure.clone(),
        };
        let named = if scenario.plugin.name.is_empty() { None } else { Some(scenario.plugin.name.clone()) };
        let path = dir.unwrap_or(&sides[0].path);
        let of_path =
            || path.file_stem().map_or_else(|| path.display().to_string(), |stem| stem.to_string_lossy().into_owned());
        Report {
            plugin: named.unwrap_or_else(of_path),
            verdict: if comparison.difference.is_none() { Verdict::Identical } else { Verdict::Different },
            difference: comparison.difference.clone(),
            steps: comparison.steps,
            native: build(&sides[0], &comparison.failures[0]),
            wasm: build(&sides[1], &comparison.failures[1]),
            measured: measured.map(Numbers::new),
            environment: Environment {
                dynvm: env!("CARGO_PKG_VERSION"),
                arch: std::env::consts::ARCH,
                os: std::env::consts::OS,
                cpus: std::thread::available_parallelism().map_or(1, usize::from),
            },
        }
    }

    pub fn print(&self) {
        match &self.difference {
            None => anstream::println!(
                "{}: {} results on both builds, {} steps compared",
                self.plugin.bold(),
                "identical".green().bold(),
                self.steps
            ),
            Some(difference) => {
                anstream::println!("{}: the two builds {}", self.plugin.bold(), "differ".red().bold());
                anstream::println!("  in {}: {}", difference.step, difference.aspect);
                anstream::println!("    native {}", difference.native);
                anstream::println!("    wasm   {}", difference.wasm);
            }
        }
        for (name, build) in [("native", &self.native), ("wasm", &self.wasm)] {
            if let Some(failure) = &build.failure {
                anstream::println!("  {} the {name} VM failed: {failure}", "!".red());
            }
        }
        let Some(numbers) = &self.measured else {
            if self.native.failure.is_some() || self.wasm.failure.is_some() {
                anstream::println!("  not measured, since a VM failed");
            }
            return;
        };
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["", "native median", "p99", "wasm median", "p99", "native / wasm"]);
        for row in [&numbers.stream].into_iter().chain(&numbers.callbacks).chain([&numbers.start]) {
            table.add_row([
                row.name.trim_start_matches("proxy_").to_owned(),
                time(row.native.median_ns),
                time(row.native.p99_ns),
                time(row.wasm.median_ns),
                time(row.wasm.p99_ns),
                format!("{:.2}", row.ratio_median),
            ]);
        }
        table.add_row([
            "load the artifact".to_owned(),
            time(self.native.load_ns),
            String::new(),
            time(self.wasm.load_ns),
            String::new(),
            format!("{:.4}", self.native.load_ns as f64 / self.wasm.load_ns.max(1) as f64),
        ]);
        if let Memory { native: Some(native), wasm: Some(wasm) } = numbers.memory_per_vm_bytes {
            let ratio = native as f64 / wasm.max(1) as f64;
            table.add_row([
                "memory per VM".to_owned(),
                size(native),
                String::new(),
                size(wasm),
                String::new(),
                format!("{ratio:.2}"),
            ]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        anstream::println!("{table}");
        anstream::println!(
            "{}",
            format!(
                "{} rounds of each build, alternating; the plugin's own time, {} for taking it subtracted",
                numbers.rounds,
                time(numbers.timer_overhead_ns)
            )
            .dimmed()
        );
        let speedup = 1.0 / numbers.stream.ratio_median.max(f64::MIN_POSITIVE);
        anstream::println!(
            "native takes {:.2} of wasm's time per stream ({speedup:.1} times as fast)",
            numbers.stream.ratio_median
        );
    }
}

impl Numbers {
    fn new(measured: &Measured) -> Numbers {
        let [native, wasm] = &measured.sides;
        let row = |name: &'static str, of: fn(&Times) -> &Histogram<u64>| Row::of(name, of(native), of(wasm));
        let callbacks = native
            .callbacks
            .iter()
            .filter_map(|(name, histogram)| Some(Row::of(name, histogram, wasm.callbacks.get(name)?)))
            .collect();
        Numbers {
            rounds: measured.rounds,
            timer_overhead_ns: measured.overhead.as_nanos() as u64,
            stream: row("whole stream", |times| &times.stream),
            callbacks,
            start: row("start a VM", |times| &times.start),
            memory_per_vm_bytes: Memory { native: native.memory, wasm: wasm.memory },
        }
    }
}
