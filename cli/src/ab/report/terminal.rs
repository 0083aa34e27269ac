//! The report as text: verdict, summary, table, thresholds, warnings.

use comfy_table::{CellAlignment, Table, presets};
use owo_colors::OwoColorize as _;

use super::numbers::{Numbers, OutcomeNumbers, Row};
use super::{Report, Verdict, envoy};
use crate::ab::divergence;
use crate::ab::measure::noise::Noise;
use crate::ab::measure::statistics::Estimate;
use crate::ab::thresholds::{self, Decision};
use crate::units;

pub fn print(report: &Report) {
    verdict(report);
    divergence::print(report);
    match &report.measured {
        Some(numbers) => {
            anstream::println!("{}\n", meaning(numbers, |ns| units::time(ns.round() as u64)).bold());
            anstream::println!("{}\n", table(numbers));
            for line in footnotes(numbers, report.noise.as_ref()) {
                anstream::println!("{}", line.dimmed());
            }
            if let Some(linking) = report.native.linking() {
                anstream::println!("{}", format!("linked into a program: {linking}").dimmed());
            }
        }
        None => {
            if let Some(reason) = &report.not_measured {
                anstream::println!("  not measured: {reason}");
            }
        }
    }
    if let Some(envoy) = &report.envoy {
        envoy::print(envoy);
    }
    report.thresholds.iter().for_each(threshold);
    for warning in &report.warnings {
        anstream::println!("{} {warning}", "warning:".yellow().bold());
    }
}

fn verdict(report: &Report) {
    let plugin = report.plugin.bold();
    if report.verdict == Verdict::Identical {
        let same = "identical".green().bold().to_string();
        let crash =
            if report.failures.is_empty() { String::new() } else { format!(", and both {}", "crash".red().bold()) };
        anstream::println!("{plugin}: {same} results on both builds{crash}, {} steps compared", report.steps);
    } else {
        anstream::println!("{plugin}: the two builds {}", "differ".red().bold());
    }
    if let Some(difference) = &report.difference {
        anstream::println!("  in {}: {}", difference.step, difference.aspect);
        anstream::println!("    native {}", difference.native);
        anstream::println!("    wasm   {}", difference.wasm);
    }
    for failure in &report.failures {
        let times = if failure.count == 1 { String::new() } else { format!(" ({} pairs of VMs)", failure.count) };
        anstream::println!("  {} both fail in {}{times}", "!".red(), failure.callback);
        anstream::println!("    native {}", failure.native.replace('\n', "\n           "));
        anstream::println!("    wasm   {}", failure.wasm.replace('\n', "\n           "));
    }
    for (name, build) in report.builds() {
        if let Some(failure) = &build.failure {
            anstream::println!("  {} the {name} VM failed: {failure}", "!".red());
        }
    }
}

/// Summary in one sentence. `time` formats nanoseconds.
pub fn meaning(numbers: &Numbers, time: fn(f64) -> String) -> String {
    let Some(ratio) = numbers.traffic.ratio.p50 else {
        return "the callbacks are shorter than the clock's resolution".to_owned();
    };
    let mut text = match (ratio.low, ratio.high) {
        (Some(low), Some(high)) if low <= 1.0 && high >= 1.0 => {
            "no significant difference in time for this traffic: native takes".to_owned()
        }
        _ if ratio.value <= 1.0 => "native serves this traffic in".to_owned(),
        _ => "native is slower than wasm: it serves this traffic in".to_owned(),
    };
    text += &format!(" {} of wasm's time", units::ratio(ratio.value));
    if let Some(interval) = interval(&ratio) {
        text += &format!(" (95 % CI {interval})");
    }
    if let (Some(native), Some(wasm)) = (numbers.stream.native.p50_ns, numbers.stream.wasm.p50_ns) {
        text += &format!(", a stream in {} instead of {}", time(native.value), time(wasm.value));
    }
    text + &outcomes(&numbers.outcomes)
}

/// Outcomes of the measured streams.
fn outcomes(outcomes: &[OutcomeNumbers]) -> String {
    let all: u64 = outcomes.iter().map(|outcome| outcome.streams).sum();
    let parts: Vec<String> =
        outcomes.iter().map(|part| format!("{} end with {}", part.streams, part.outcome)).collect();
    if parts.is_empty() { String::new() } else { format!("; of {all} streams {}", parts.join(", ")) }
}

/// Formats the interval of a ratio.
pub fn interval(ratio: &Estimate) -> Option<String> {
    let (low, high) = units::ratio_interval(ratio.low?, ratio.high?);
    Some(format!("{low}–{high}"))
}

fn time(estimate: &Estimate) -> String {
    units::time(estimate.value.round() as u64)
}

fn size(estimate: &Estimate) -> String {
    units::size(estimate.value.round() as u64)
}

/// Formats an optional number.
fn cell(estimate: Option<Estimate>, text: fn(&Estimate) -> String) -> String {
    estimate.as_ref().map_or_else(|| "-".to_owned(), text)
}

fn table(numbers: &Numbers) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["", "native p50", "p99", "wasm p50", "p99", "native / wasm", "95 % CI"]);
    for row in [&numbers.traffic, &numbers.stream] {
        times(&mut table, row, "");
    }
    for row in numbers.callbacks.iter().filter(|row| row.is_measured()) {
        times(&mut table, row, "  ");
    }
    let whole = &numbers.whole;
    add(&mut table, "CPU time of a stream, host included", whole.cpu_ns.native, whole.cpu_ns.wasm, None, time);
    add(&mut table, "  without the host", None, None, whole.cpu_ratio, time);
    if let Some(counts) = &whole.instructions {
        add(&mut table, "instructions, host included", counts.native, counts.wasm, None, count);
        add(&mut table, "  without the host", None, None, whole.instructions_ratio, count);
    }
    let cold = &numbers.cold_start;
    let (load, compile) = (Some(cold.native_load_ns), Some(cold.wasm_compile_ns));
    add(&mut table, "load (wasm: compile)", load, compile, quotient(load, compile), time);
    add(
        &mut table,
        "load (wasm: from the cache)",
        load,
        cold.wasm_cached_ns,
        quotient(load, cold.wasm_cached_ns),
        time,
    );
    let start = [Some(cold.start_ns.native), Some(cold.start_ns.wasm)];
    add(&mut table, "start a VM", start[0], start[1], quotient(start[0], start[1]), time);
    let first = cold.first_stream_ns;
    add(&mut table, "first stream of a VM", first.native, first.wasm, quotient(first.native, first.wasm), time);
    let memory = numbers.memory_per_vm_bytes;
    add(&mut table, "memory per additional VM", memory.native, memory.wasm, quotient(memory.native, memory.wasm), size);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn count(estimate: &Estimate) -> String {
    format!("{:.0}", estimate.value)
}

fn quotient(native: Option<Estimate>, wasm: Option<Estimate>) -> Option<Estimate> {
    native?.over(wasm?)
}

fn times(table: &mut Table, row: &Row, indent: &str) {
    let ratio = row.ratio.p50;
    table.add_row([
        format!("{indent}{}", row.name.trim_start_matches("proxy_")),
        cell(row.native.p50_ns, time),
        cell(row.native.p99_ns, time),
        cell(row.wasm.p50_ns, time),
        cell(row.wasm.p99_ns, time),
        cell(ratio, |ratio| units::ratio(ratio.value)),
        ratio.as_ref().and_then(interval).unwrap_or_default(),
    ]);
}

fn add(
    table: &mut Table,
    name: &str,
    native: Option<Estimate>,
    wasm: Option<Estimate>,
    ratio: Option<Estimate>,
    text: fn(&Estimate) -> String,
) {
    if native.is_none() && wasm.is_none() && ratio.is_none() {
        return;
    }
    let or_nothing = |value: Option<Estimate>| value.as_ref().map_or_else(String::new, text);
    table.add_row([
        name.to_owned(),
        or_nothing(native),
        String::new(),
        or_nothing(wasm),
        String::new(),
        ratio.map_or_else(String::new, |ratio| units::ratio(ratio.value)),
        ratio.as_ref().and_then(interval).unwrap_or_default(),
    ]);
}

/// Method of the measurement and cost of growing requests.
fn footnotes(numbers: &Numbers, noise: Option<&Noise>) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(noise) = noise.filter(|noise| noise.waited_ms > 0) {
        let waited = noise.waited_ms as f64 / 1000.0;
        lines.push(format!("waited {waited:.1} s for other processes to finish"));
    }
    if let Some(sweep) = &numbers.sweep {
        let slope = |line: Option<super::numbers::LineNumbers>| {
            line.map_or_else(|| "-".to_owned(), |line| units::time(line.per_unit_ns.max(0.0).round() as u64))
        };
        let (headers, body) = (&sweep.headers.line, &sweep.body.line);
        lines.push(format!(
            "as {} grows: {} more for each header natively, {} in wasm; {} and {} for each KiB of body",
            sweep.request,
            slope(headers.native),
            slope(headers.wasm),
            slope(body.native),
            slope(body.wasm)
        ));
    }
    if let Some(reason) = &numbers.whole.instructions_unavailable {
        lines.push(format!("instructions were not counted: {reason}"));
    }
    let method = &numbers.method;
    let cpu = method.pinned_to.map_or_else(|| "not bound to a CPU".to_owned(), |cpu| format!("bound to CPU {cpu}"));
    lines.push(format!(
        "{} passes of each build, interleaved, {cpu}; times cover the plugin's callbacks, \
         timer overhead of {} subtracted",
        method.passes,
        units::time(method.timer_overhead_ns.round() as u64)
    ));
    lines
}

fn threshold(decision: &Decision) {
    let word = match decision.verdict {
        thresholds::Verdict::Passed => "passed".green().bold().to_string(),
        thresholds::Verdict::Failed => "failed".red().bold().to_string(),
        thresholds::Verdict::Undecided => "undecided (not passed)".red().bold().to_string(),
    };
    anstream::println!("threshold {word}: fail if {}", decision.fail_if);
    anstream::println!("  {}", decision.reason.replace('\n', "\n  "));
    if let Some(value) = &decision.value {
        let text = |number: f64| match value.unit {
            "ns" => units::time(number.round() as u64),
            "bytes" => units::size(number.round() as u64),
            _ => units::ratio(number),
        };
        let bounds = value.low.zip(value.high);
        let bounds = bounds.map_or_else(String::new, |(low, high)| format!(" ({} to {})", text(low), text(high)));
        anstream::println!("  {} = {}{bounds}", value.name, text(value.value));
    }
}
