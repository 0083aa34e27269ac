//! The result, as a terminal, a program and a browser show it. All three show this one structure, which is also what JSON has
//! (`docs/ab-report.md`).

#[cfg(test)]
pub mod fixture;
mod html;
mod json;
pub mod numbers;
pub mod terminal;
mod warnings;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use dynvm::inspect::Inspection;
use dynvm_compare::rules::AppliedRule;
use serde::Serialize;

use super::compare::{Comparison, Difference, Generated};
use super::environment::{Environment, rfc3339};
use super::gate::Decision;
use super::measure::Measured;
use super::measure::noise::Noise;
use super::{Scenario, Side};
use numbers::Numbers;

pub use html::html;
pub use json::json;

/// The version of the structure. A field that changes its meaning or goes makes a new one; a field that is added does not.
pub const SCHEMA: &str = "dynvm-ab/1";

#[derive(Serialize)]
pub struct Report {
    pub schema: &'static str,
    /// When it was made, in UTC.
    pub created: String,
    /// The command line.
    pub command: Vec<String>,
    pub plugin: String,
    pub verdict: Verdict,
    /// The exit code is 0: the builds behave the same and no gate failed.
    pub passed: bool,
    /// The first difference.
    pub difference: Option<Difference>,
    /// Steps that were compared, the start among them.
    pub steps: usize,
    /// Generated traffic that was compared too.
    pub generated: Option<Generated>,
    /// What was passed over, by which rules.
    pub rules: Vec<AppliedRule>,
    pub native: Build,
    pub wasm: Build,
    /// `None`: nothing was measured, for `not_measured`.
    pub measured: Option<Numbers>,
    pub not_measured: Option<String>,
    pub gates: Vec<Decision>,
    /// What makes the numbers less sure, and what to do about it.
    pub warnings: Vec<String>,
    pub noise: Option<Noise>,
    pub environment: Environment,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Identical,
    Different,
}

/// One of the two artifacts.
#[derive(Serialize)]
pub struct Build {
    pub path: String,
    pub size_bytes: usize,
    pub sha256: String,
    pub abi_version: String,
    /// The SDK, where the file shows it.
    pub sdk: Option<String>,
    /// Compilers and linkers, where the file shows them.
    pub toolchain: Vec<String>,
    /// Time to load it once, before anything else.
    pub load_ns: u64,
    /// How its VM failed under the traffic, if it did.
    pub failure: Option<String>,
}

impl Build {
    fn of(side: &Side, inspection: &Inspection, failure: Option<&String>) -> Build {
        let info = side.module.info();
        Build {
            path: side.path.display().to_string(),
            size_bytes: info.size,
            sha256: info.sha256.clone(),
            abi_version: info.abi_version.to_string(),
            sdk: inspection.sdk.clone(),
            toolchain: inspection.toolchain.clone(),
            load_ns: side.load.as_nanos() as u64,
            failure: failure.cloned(),
        }
    }
}

/// What a report is made of.
pub struct Parts<'a> {
    /// The plugin's directory, if that is what was named.
    pub dir: Option<&'a Path>,
    pub sides: &'a [Side; 2],
    pub inspections: &'a [Inspection; 2],
    pub scenario: &'a Scenario,
    pub comparison: &'a Comparison,
    pub measured: Option<&'a Measured>,
    pub not_measured: Option<String>,
    pub environment: Environment,
}

impl Report {
    /// A report without gates, which are decided by it: see [`Report::decide`].
    pub fn new(parts: Parts<'_>) -> Report {
        let Parts { dir, sides, inspections, scenario, comparison, measured, not_measured, environment } = parts;
        let numbers = measured.map(|measured| Numbers::new(measured, sides));
        let sweep_differs = numbers.as_ref().is_some_and(Numbers::sweep_differs);
        let identical = comparison.difference.is_none() && !sweep_differs;
        let noise = measured.map(|measured| measured.noise);
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Report {
            schema: SCHEMA,
            created: rfc3339(since_epoch),
            command: std::env::args().collect(),
            plugin: plugin_name(scenario, dir.unwrap_or(&sides[0].path)),
            verdict: if identical { Verdict::Identical } else { Verdict::Different },
            passed: identical,
            difference: comparison.difference.clone(),
            steps: comparison.steps,
            generated: comparison.generated.clone(),
            rules: comparison.rules.clone(),
            native: Build::of(&sides[0], &inspections[0], comparison.failures[0].as_ref()),
            wasm: Build::of(&sides[1], &inspections[1], comparison.failures[1].as_ref()),
            warnings: numbers
                .as_ref()
                .map(|numbers| warnings::warnings(numbers, noise.as_ref(), &environment))
                .unwrap_or_default(),
            measured: numbers,
            not_measured,
            gates: Vec::new(),
            noise,
            environment,
        }
    }

    /// Adds what the gates decided.
    pub fn decide(&mut self, gates: Vec<Decision>) {
        self.passed &= gates.iter().all(Decision::passed);
        self.gates = gates;
    }

    /// Both artifacts, with their names.
    fn builds(&self) -> [(&'static str, &Build); 2] {
        [("native", &self.native), ("wasm", &self.wasm)]
    }
}

fn plugin_name(scenario: &Scenario, path: &Path) -> String {
    if !scenario.plugin.name.is_empty() {
        return scenario.plugin.name.clone();
    }
    path.file_stem().map_or_else(|| path.display().to_string(), |stem| stem.to_string_lossy().into_owned())
}
