//! The results of Envoy as text.

use comfy_table::{CellAlignment, Table, presets};
use owo_colors::OwoColorize as _;

use crate::ab::measure::statistics::Estimate;
use crate::envoy::trial::Setup;
use crate::envoy::trial::SetupNumbers;
use crate::envoy::trial::{EnvoyDifference, EnvoyReport};
use crate::units;

pub fn print(report: &EnvoyReport) {
    let title = format!("Envoy {}", report.version);
    anstream::println!("{}: {}", title.bold(), verdict(report));
    for EnvoyDifference { setup, step, aspect, value, v8 } in &report.differences {
        anstream::println!("  {} in {step}: {aspect}", setup.title().red());
        anstream::println!("    here  {value}");
        anstream::println!("    in V8 {v8}");
    }
    for rule in &report.rules {
        let text = format!("ignored {} times: {} ({}, declared as \"{}\")", rule.count, rule.what, rule.rule, rule.row);
        anstream::println!("  {}", text.dimmed());
    }
    if !report.setups.is_empty() {
        anstream::println!("\n{}\n", table(report));
    }
    for line in notes(report) {
        anstream::println!("  {}", line.dimmed());
    }
}

fn table(report: &EnvoyReport) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(HEAD);
    for row in rows(report) {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The comparison in one sentence.
pub fn verdict(report: &EnvoyReport) -> String {
    let steps = if report.steps == 1 { "1 step".to_owned() } else { format!("{} steps", report.steps) };
    if !report.differences.is_empty() {
        "the module differs from V8".to_owned()
    } else if report.module.is_some() && report.steps == 0 {
        "nothing compared, as no step of the scenario can be sent through a proxy".to_owned()
    } else if report.module.is_some() {
        format!("the module behaves as V8 does with both builds, {steps} compared")
    } else {
        "not compared with the module, as there is no libdynvm_envoy.so beside this program; add --module PATH"
            .to_owned()
    }
}

/// Number of steps that a note lists.
const MOST_LISTED: usize = 4;

/// Whether the costs of a plugin and the noise are alike.
fn is_unclear(numbers: &SetupNumbers) -> bool {
    numbers.cpu_over_none_ns.is_some_and(|over| over.low.unwrap_or(over.value) <= 0.0)
}

/// What limits the results.
pub fn notes(report: &EnvoyReport) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |what: &str, list: &[String]| {
        if !list.is_empty() {
            let more = list.len().saturating_sub(MOST_LISTED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            notes.push(format!("{what}: {}{more}", list[..list.len().min(MOST_LISTED)].join(", ")));
        }
    };
    note("not sent through Envoy", &report.skipped);
    note("not compared, as two runs with V8 differ", &report.unstable);
    if report.setups.iter().any(is_unclear) {
        notes.push("an interval includes zero: measure longer (--duration), or on an idle machine".to_owned());
    }
    notes
}

pub const HEAD: [&str; 9] = [
    "in Envoy",
    "CPU of a request",
    "over no filter",
    "95 % CI",
    "of V8's",
    "latency p50",
    "p99",
    "memory",
    "until ready",
];

/// The rows of the table under [`HEAD`].
pub fn rows(report: &EnvoyReport) -> Vec<[String; 9]> {
    let v8 = report.setups.iter().find(|numbers| numbers.setup == Setup::V8);
    report.setups.iter().map(|numbers| row(numbers, v8)).collect()
}

fn row(numbers: &SetupNumbers, v8: Option<&SetupNumbers>) -> [String; 9] {
    let time = |estimate: Option<Estimate>| estimate.map_or_else(|| "-".to_owned(), |estimate| signed(estimate.value));
    let over = numbers.cpu_over_none_ns;
    let interval = over.and_then(|over| Some(format!("{}–{}", signed(over.low?), signed(over.high?))));
    let of_v8 =
        over.zip(v8.and_then(|v8| v8.cpu_over_none_ns)).filter(|_| !is_unclear(numbers) && !v8.is_some_and(is_unclear));
    [
        numbers.setup.title().to_owned(),
        time(numbers.cpu_ns),
        if numbers.setup == Setup::NoFilter { String::new() } else { time(over) },
        interval.unwrap_or_default(),
        of_v8.map_or_else(String::new, |(over, v8)| units::ratio(over.value / v8.value)),
        time(numbers.latency_p50_ns),
        time(numbers.latency_p99_ns),
        numbers.memory_bytes.map_or_else(|| "-".to_owned(), units::size),
        units::time(numbers.ready_ns),
    ]
}

/// A time that may be negative, as a difference may.
fn signed(ns: f64) -> String {
    let sign = if ns < 0.0 { "-" } else { "" };
    format!("{sign}{}", units::time(ns.abs().round() as u64))
}
