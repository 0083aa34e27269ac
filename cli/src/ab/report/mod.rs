//! The result of `dynvm ab` as text, JSON and HTML. All three present this one structure, which is
//! also the structure of the JSON (`docs/ab-report.md`).

mod envoy;
#[cfg(test)]
pub mod fixture;
mod html;
mod json;
pub mod numbers;
pub mod output;
mod terminal;
mod warnings;

use std::path::Path;
use std::time::SystemTime;

use dynvm_compare::rules::AppliedRule;
use dynvm_differential::failures::CommonFailure;
use serde::Serialize;

use super::compare::{Comparison, Difference, Generated};
use super::environment::Environment;
use super::measure::Measured;
use super::measure::noise::Noise;
use super::thresholds::{Decision, Threshold};
use super::{Scenario, Side};
use crate::envoy::trial::EnvoyReport;
use numbers::Numbers;

pub use html::html;
pub use json::json;

/// Version of the structure. Removing a field or changing its meaning requires a new version; adding one does not.
pub const SCHEMA: &str = "dynvm-ab/1";

#[derive(Serialize)]
pub struct Report {
    pub schema: &'static str,
    /// Creation time in UTC.
    pub created: String,
    pub command: Vec<String>,
    pub plugin: String,
    pub verdict: Verdict,
    /// Whether the exit code is 0: the builds behave the same and no threshold failed.
    pub passed: bool,
    pub difference: Option<Difference>,
    /// Kinds of failures that both builds share.
    pub failures: Vec<CommonFailure>,
    /// Number of compared steps, including the start of the plugin.
    pub steps: usize,
    /// Statistics of the generated traffic.
    pub generated: Option<Generated>,
    /// Rules that applied, with the number of ignored differences.
    pub rules: Vec<AppliedRule>,
    pub native: Build,
    pub wasm: Build,
    /// `None`: not measured, for the reason in `not_measured`.
    pub measured: Option<Numbers>,
    pub not_measured: Option<String>,
    pub thresholds: Vec<Decision>,
    /// Warnings about the precision of the numbers, with remedies.
    pub warnings: Vec<String>,
    pub noise: Option<Noise>,
    pub environment: Environment,
    /// The same traffic through Envoy.
    pub envoy: Option<EnvoyReport>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Identical,
    Different,
}

#[derive(Serialize)]
pub struct Build {
    pub path: String,
    pub size_bytes: usize,
    pub sha256: String,
    pub abi_version: String,
    /// SDK, if the file shows it.
    pub sdk: Option<String>,
    /// Compilers and linkers, if the file shows them.
    pub toolchain: Vec<String>,
    /// Statics by which VMs could influence each other if the plugin were linked into a program. `None`: wasm, not Rust, or unknown.
    pub statics: Option<Vec<String>>,
    /// Time of a single load, before anything else.
    pub load_ns: u64,
    /// Failure of its VM under the traffic.
    pub failure: Option<String>,
}

impl Build {
    fn of(side: &Side, failure: Option<&String>) -> Build {
        let (info, inspection) = (side.module.info(), &side.inspection);
        Build {
            path: side.artifact.name.clone(),
            size_bytes: info.size,
            sha256: info.sha256().unwrap_or_default().to_owned(),
            abi_version: info.abi_version.to_string(),
            sdk: inspection.sdk.clone(),
            toolchain: inspection.toolchain.clone(),
            statics: dynvm_link::statics_of_shared_object(&side.artifact.bytes),
            load_ns: side.load.as_nanos() as u64,
            failure: failure.cloned(),
        }
    }

    /// What its statics mean for a program that it is linked into.
    pub fn linking(&self) -> Option<String> {
        Some(match &self.statics.as_deref()? {
            [] => "any number of VMs, as it has no statics of its own".to_owned(),
            [first] => format!("one VM for each slot, as it has the static {first}"),
            [first, more @ ..] => format!("one VM for each slot, as it has statics ({first} and {} more)", more.len()),
        })
    }
}

/// Input of a report.
pub struct Parts<'a> {
    /// Source directory of the plugin, if the user named one.
    pub dir: Option<&'a Path>,
    pub sides: &'a [Side; 2],
    pub scenario: &'a Scenario,
    pub comparison: &'a Comparison,
    pub measured: Option<&'a Measured>,
    pub not_measured: Option<String>,
    pub environment: Environment,
    pub envoy: Option<EnvoyReport>,
}

impl Report {
    /// Creates a report without thresholds; [`Report::decide`] adds them.
    pub fn new(parts: Parts<'_>) -> Report {
        let Parts { dir, sides, scenario, comparison, measured, not_measured, environment, envoy } = parts;
        let numbers = measured.map(|measured| Numbers::new(measured, sides));
        let sweep_differs = numbers.as_ref().is_some_and(Numbers::sweep_differs);
        let envoy_differs = envoy.as_ref().is_some_and(|envoy| !envoy.differences.is_empty());
        let identical = comparison.difference.is_none() && !sweep_differs && !envoy_differs;
        let noise = measured.map(|measured| measured.noise);
        // humantime panics on times before the epoch.
        let now = SystemTime::now().max(SystemTime::UNIX_EPOCH);
        Report {
            schema: SCHEMA,
            created: humantime::format_rfc3339_seconds(now).to_string(),
            command: std::env::args().collect(),
            plugin: plugin_name(scenario, dir.unwrap_or(Path::new(&sides[0].artifact.name))),
            verdict: if identical { Verdict::Identical } else { Verdict::Different },
            passed: identical,
            difference: comparison.difference.clone(),
            failures: comparison.common_failures.clone(),
            steps: comparison.steps,
            generated: comparison.generated.clone(),
            rules: comparison.rules.clone(),
            native: Build::of(&sides[0], comparison.failures[0].as_ref()),
            wasm: Build::of(&sides[1], comparison.failures[1].as_ref()),
            warnings: numbers
                .as_ref()
                .map(|numbers| warnings::warnings(numbers, noise.as_ref(), &environment))
                .unwrap_or_default(),
            measured: numbers,
            not_measured,
            thresholds: Vec::new(),
            noise,
            environment,
            envoy,
        }
    }

    /// Evaluates the thresholds and adds the decisions.
    pub fn decide(&mut self, thresholds: &[Threshold]) {
        let numbers = match (&self.measured, &self.not_measured) {
            (Some(numbers), _) => Ok(numbers),
            (None, reason) => Err(reason.as_deref().unwrap_or_default()),
        };
        self.thresholds = thresholds.iter().map(|threshold| threshold.decide(numbers)).collect();
        self.passed &= self.thresholds.iter().all(Decision::passed);
    }

    /// Both builds with their names.
    fn builds(&self) -> [(&'static str, &Build); 2] {
        [("native", &self.native), ("wasm", &self.wasm)]
    }
}

fn plugin_name(scenario: &Scenario, path: &Path) -> String {
    if !scenario.plugin.name.is_empty() {
        return scenario.plugin.name.clone();
    }
    // `.` has a file name only after resolution.
    let resolved = path.canonicalize();
    let path = resolved.as_deref().unwrap_or(path);
    let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
    name.map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
