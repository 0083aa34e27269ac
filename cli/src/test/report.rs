//! Results as text.

use comfy_table::{CellAlignment, Table, presets};
use dynvm::BackendKind;
use dynvm_suite::TestResult;
use dynvm_suite::bench::{Bench, Figures};
use owo_colors::OwoColorize as _;

use super::Outcome;
use crate::units::{size, time};

/// Prints one test on one build.
pub fn test(result: &TestResult) {
    if result.passed() {
        anstream::println!("{} {}", "ok  ".green(), result.id());
        return;
    }
    anstream::println!("{} {}", "FAIL".red().bold(), result.id().bold());
    for failure in &result.failures {
        let message = failure.message.replace('\n', "\n       ");
        anstream::println!("     [{}] {message}", failure.phase);
    }
}

/// Prints a difference between the builds.
pub fn difference(name: &str, difference: &str) {
    anstream::println!("{} {name}: the two builds differ in {difference}", "note".yellow());
}

/// Prints the number of passed tests per build.
pub fn summary(outcome: &Outcome) {
    if outcome.tests.is_empty() {
        anstream::println!("no tests run");
        return;
    }
    let mut parts = Vec::new();
    for engine in [BackendKind::Native, BackendKind::Wasm] {
        let tests: Vec<_> = outcome.tests.iter().filter(|test| test.engine == engine).collect();
        if tests.is_empty() {
            continue;
        }
        let passed = tests.iter().filter(|test| test.passed()).count();
        let text = format!("{engine}: {passed} of {} tests passed", tests.len());
        parts.push(if passed == tests.len() { text.green().to_string() } else { text.red().to_string() });
    }
    anstream::println!("{}", parts.join(", "));
    for rule in outcome.applied.list() {
        anstream::println!("{}", rule.to_string().dimmed());
    }
}

/// Prints the benchmarks, one row per build.
pub fn benches(benches: &[Bench]) {
    if benches.is_empty() {
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["", "median", "p99", "mean", "rounds", "memory", "logs", "log size", "size", "native / wasm"]);
    for bench in benches {
        for side in &bench.sides {
            let mut row = vec![bench.id(side.engine)];
            match &side.result {
                Ok(figures) => row.extend(columns(figures)),
                Err(_) => row.push("failed".red().to_string()),
            }
            if side.engine == BackendKind::Native
                && let Some(ratio) = bench.ratio()
            {
                row.push(format!("{ratio:.2}"));
            }
            table.add_row(row);
        }
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    anstream::println!("\n{table}");
    for bench in benches {
        for side in &bench.sides {
            if let Err(error) = &side.result {
                anstream::println!("{} {}: {error}", "failed".red(), bench.id(side.engine));
            }
        }
    }
}

fn columns(figures: &Figures) -> Vec<String> {
    let times = &figures.times;
    vec![
        time(times.median_ns),
        time(times.p99_ns),
        time(times.mean_ns as u64),
        times.rounds.to_string(),
        figures.memory.map_or_else(|| "-".to_owned(), size),
        figures.log_entries.to_string(),
        size(figures.log_bytes),
        size(figures.artifact_bytes),
    ]
}
