//! Results as JSON.

use std::path::Path;

use dynvm::BackendKind;
use dynvm_compare::rules::AppliedRule;
use dynvm_suite::bench::{Bench, Figures};
use dynvm_suite::{Failure, TestResult};
use serde::Serialize;

use super::{Outcome, file_name};

#[derive(Serialize)]
pub struct Report {
    suite: String,
    verdict: Verdict,
    tests: Vec<Test>,
    differences: Vec<Difference>,
    /// Rules that applied, with the number of ignored differences.
    rules: Vec<AppliedRule>,
    benchmarks: Vec<Benchmark>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Passed,
    Failed,
}

#[derive(Serialize)]
struct Test {
    id: String,
    name: String,
    engine: &'static str,
    passed: bool,
    time_ns: u64,
    failures: Vec<Mismatch>,
}

#[derive(Serialize)]
struct Mismatch {
    phase: &'static str,
    message: String,
}

/// A difference between the builds in a test.
#[derive(Serialize)]
struct Difference {
    name: String,
    difference: String,
}

/// A benchmark. The ratio of medians is native to wasm: below 1, native is faster.
#[derive(Serialize)]
struct Benchmark {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    native: Option<Side>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wasm: Option<Side>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio_median: Option<f64>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Side {
    Failed { error: String },
    Measured(Numbers),
}

#[derive(Serialize)]
struct Numbers {
    rounds: u64,
    min_ns: u64,
    median_ns: u64,
    p99_ns: u64,
    mean_ns: f64,
    memory_bytes: Option<u64>,
    logs_size_bytes: u64,
    log_entries: u64,
    artifact_size_bytes: u64,
}

pub fn report(suite: &Path, outcome: &Outcome) -> Report {
    Report {
        suite: file_name(suite),
        verdict: if outcome.failed() { Verdict::Failed } else { Verdict::Passed },
        tests: outcome.tests.iter().map(Test::of).collect(),
        differences: outcome
            .differences
            .iter()
            .map(|(name, difference)| Difference { name: name.clone(), difference: difference.clone() })
            .collect(),
        rules: outcome.applied.list(),
        benchmarks: outcome.benches.iter().map(Benchmark::of).collect(),
    }
}

impl Test {
    fn of(result: &TestResult) -> Test {
        let mismatch = |failure: &Failure| Mismatch { phase: failure.phase, message: failure.message.clone() };
        Test {
            id: result.id(),
            name: result.name.clone(),
            engine: result.engine.name(),
            passed: result.passed(),
            time_ns: result.time.as_nanos() as u64,
            failures: result.failures.iter().map(mismatch).collect(),
        }
    }
}

impl Benchmark {
    fn of(bench: &Bench) -> Benchmark {
        let side = |engine: BackendKind| {
            let side = bench.sides.iter().find(|side| side.engine == engine)?;
            Some(match &side.result {
                Ok(figures) => Side::Measured(Numbers::of(figures)),
                Err(error) => Side::Failed { error: error.clone() },
            })
        };
        Benchmark {
            name: bench.name.clone(),
            native: side(BackendKind::Native),
            wasm: side(BackendKind::Wasm),
            ratio_median: bench.ratio(),
        }
    }
}

impl Numbers {
    fn of(figures: &Figures) -> Numbers {
        Numbers {
            rounds: figures.times.rounds,
            min_ns: figures.times.min_ns,
            median_ns: figures.times.median_ns,
            p99_ns: figures.times.p99_ns,
            mean_ns: figures.times.mean_ns,
            memory_bytes: figures.memory,
            logs_size_bytes: figures.log_bytes,
            log_entries: figures.log_entries,
            artifact_size_bytes: figures.artifact_bytes,
        }
    }
}
