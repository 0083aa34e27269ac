//! Options of measurement, thresholds and report.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dynvm::trust::TrustPolicy;

use super::measure::{Plan, pin};
use super::report::output::{Format, Output};
use super::thresholds::{self, Threshold};
use crate::exit::usage;

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

/// The checked options.
pub struct MeasureOptions {
    /// `None` skips the measurement.
    pub plan: Option<Plan>,
    pub thresholds: Vec<Threshold>,
    pub output: Output,
}

impl MeasureArgs {
    /// Duration of a measurement.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.duration)
    }

    /// Checks everything that can be checked before a plugin is built.
    ///
    /// # Errors
    ///
    /// An option is invalid.
    pub fn options(&self, policy: Option<TrustPolicy>) -> anyhow::Result<MeasureOptions> {
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
        let duration = self.duration();
        Ok(MeasureOptions {
            plan: (!duration.is_zero()).then_some(Plan { duration, pin: self.pin, policy }),
            thresholds,
            output: Output { format: self.format, json: self.json.clone(), html: self.html.clone() },
        })
    }
}
