//! Options of measurement, thresholds and report.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dynvm::trust::TrustPolicy;

use super::Side;
use super::measure::instructions::Instructions;
use super::measure::{self, Measured, Plan, pin};
use super::report::{self, Report};
use super::thresholds::{self, Facts, Threshold};
use crate::exit::usage;
use crate::scenario::{Scenario, Step, drive_step};

#[derive(clap::Args)]
#[command(next_help_heading = "Measuring and reporting")]
pub struct MeasureArgs {
    /// Duration of the measurement in seconds; 0 skips it.
    #[arg(long, value_name = "SECONDS", default_value = "4")]
    duration: f64,
    /// Bind the measuring thread to this CPU.
    #[arg(long, value_name = "CPU")]
    pin: Option<usize>,
    /// Exit with code 1 if this condition holds, e.g. 'ratio.traffic.p50 > 0.8'. Repeatable.
    #[arg(long, value_name = "CONDITION")]
    fail_if: Vec<String>,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Also write the report as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also write the report as a self-contained HTML page to this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Human-readable.
    Text,
    /// One JSON object.
    Json,
}

impl MeasureArgs {
    /// Checks everything that can be checked before a plugin is built, and parses the thresholds.
    ///
    /// # Errors
    ///
    /// An option is invalid.
    pub fn check(&self) -> anyhow::Result<Vec<Threshold>> {
        if !(0.0..=86_400.0).contains(&self.duration) {
            return Err(usage("--duration must be between 0 and 86400 seconds"));
        }
        let thresholds = thresholds::parse(&self.fail_if)?;
        if self.duration == 0.0 && !thresholds.is_empty() {
            return Err(usage("--fail-if needs measurements, which --duration 0 skips; remove one of them"));
        }
        if let Some(cpu) = self.pin {
            pin::check(cpu)?;
        }
        // A path that cannot be written is better reported before minutes of measuring.
        for (option, path) in [("--json", &self.json), ("--html", &self.html)] {
            let folder = path.as_deref().and_then(Path::parent).filter(|folder| !folder.as_os_str().is_empty());
            if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
                return Err(usage(format!("{option}: {} is not a directory; create it first", folder.display())));
            }
        }
        Ok(thresholds)
    }

    /// Duration of a measurement.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.duration)
    }

    /// Measures, or returns the reason for skipping the measurement.
    ///
    /// # Errors
    ///
    /// A threshold refers to a value that cannot be measured, or a VM does not start.
    pub fn measure(
        &self,
        sides: &[Side; 2],
        scenario: &Scenario,
        serves: bool,
        thresholds: &[Threshold],
        policy: Option<TrustPolicy>,
    ) -> anyhow::Result<Result<Measured, String>> {
        if self.duration == 0.0 {
            return Ok(Err("--duration is 0".to_owned()));
        }
        if !serves {
            return Ok(Err("a VM failed".to_owned()));
        }
        if !thresholds.is_empty() {
            let facts = facts(sides, scenario)?;
            thresholds.iter().try_for_each(|threshold| threshold.check(&facts))?;
        }
        let plan = Plan { duration: self.duration(), pin: self.pin, policy };
        measure::measure(sides, scenario, &plan).map(Ok)
    }

    /// Evaluates the thresholds and adds the decisions to the report.
    pub fn decide(&self, thresholds: &[Threshold], report: &mut Report) {
        let numbers = match (&report.measured, &report.not_measured) {
            (Some(numbers), _) => Ok(numbers),
            (None, reason) => Err(reason.as_deref().unwrap_or_default()),
        };
        let decisions = thresholds.iter().map(|threshold| threshold.decide(numbers)).collect();
        report.decide(decisions);
    }

    /// Prints the report and writes the requested files.
    ///
    /// # Errors
    ///
    /// A file cannot be written.
    pub fn write(&self, report: &Report) -> anyhow::Result<()> {
        // Files first: a reader of the output may close the pipe, which ends this process.
        if let Some(path) = &self.json {
            save(path, &report::json(report)?)?;
        }
        if let Some(path) = &self.html {
            save(path, &report::html(report)?)?;
        }
        match self.format {
            Format::Json => println!("{}", report::json(report)?),
            Format::Text => report::terminal::print(report),
        }
        Ok(())
    }
}

fn save(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).map_err(|error| usage(format!("{} cannot be written: {error}", path.display())))
}

/// Facts about the metrics of thresholds that are known before measuring.
fn facts(sides: &[Side; 2], scenario: &Scenario) -> anyhow::Result<Facts> {
    let mut made: [BTreeSet<&'static str>; 2] = Default::default();
    for (side, made) in sides.iter().zip(&mut made) {
        let mut host = side.host(scenario)?;
        host.take_steps();
        for step in &scenario.steps {
            drive_step(&mut host, step)?;
        }
        made.extend(host.take_steps().iter().map(|step| step.callback));
    }
    Ok(Facts {
        callbacks: made[0].intersection(&made[1]).copied().collect(),
        has_request: scenario.steps.iter().any(|step| matches!(step, Step::Request(_))),
        no_instructions: Instructions::open().err(),
    })
}
