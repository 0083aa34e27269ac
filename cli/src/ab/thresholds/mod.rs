//! Thresholds: conditions under which the tool fails (`--fail-if`).

mod condition;
mod metrics;

use serde::Serialize;

use super::report::numbers::Numbers;
use crate::exit::usage;
use condition::{Condition, Error};
pub use metrics::Facts;
use metrics::Metric;

#[derive(Debug)]
pub struct Threshold {
    condition: Condition,
    metric: Metric,
}

/// The decision on a threshold.
#[derive(Clone, Debug, Serialize)]
pub struct Decision {
    /// Source text of the condition.
    pub fail_if: String,
    pub verdict: Verdict,
    /// Whether the verdict is the same for all values within the interval.
    pub certain: bool,
    /// Reason for the verdict.
    pub reason: String,
    /// Measured value; `None` if undecided.
    pub value: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Passed,
    Failed,
    /// The value is missing, or nothing was measured. Counts as not passed.
    Undecided,
}

/// A measured value: nanoseconds, bytes or a plain number.
#[derive(Clone, Debug, Serialize)]
pub struct Value {
    pub name: String,
    pub value: f64,
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub unit: &'static str,
}

impl Decision {
    pub fn passed(&self) -> bool {
        self.verdict == Verdict::Passed
    }
}

/// Parses thresholds, before anything is built.
///
/// # Errors
///
/// A condition is invalid; the message shows the position, and lists the names if one is unknown.
pub fn parse(texts: &[String]) -> anyhow::Result<Vec<Threshold>> {
    texts.iter().map(|text| Threshold::parse(text).map_err(|error| at_fault(&error))).collect()
}

fn at_fault(error: &Error) -> anyhow::Error {
    usage(format!("--fail-if: {error}"))
}

impl Threshold {
    fn parse(text: &str) -> Result<Threshold, Error> {
        let condition = Condition::parse(text)?;
        let name = condition.name();
        let metric = Metric::parse(name).ok_or_else(|| condition.error_at_name(metrics::unknown(name)))?;
        condition.check(metric.dimension())?;
        Ok(Threshold { condition, metric })
    }

    /// Checks, before anything is measured, that the value is available.
    ///
    /// # Errors
    ///
    /// The value is not available; the message says why.
    pub fn check(&self, facts: &Facts) -> anyhow::Result<()> {
        self.metric.check(facts).map_err(|reason| at_fault(&self.condition.error_at_name(self.unavailable(&reason))))
    }

    fn unavailable(&self, reason: &str) -> String {
        format!("{} is not available: {reason}", self.condition.name())
    }

    /// Evaluates the point estimate. The error of `numbers` is the reason why nothing was measured.
    pub fn decide(&self, numbers: Result<&Numbers, &str>) -> Decision {
        let estimate = match numbers {
            Ok(numbers) => match self.metric.value(numbers) {
                // No comparison with NaN holds, so the threshold would pass.
                Ok(estimate) if estimate.value.is_nan() => Err(self.unavailable("it is not a number")),
                value => value.map_err(|reason| self.unavailable(&reason)),
            },
            Err(reason) => Err(format!("nothing was measured: {reason}")),
        };
        let fail_if = self.condition.text().to_owned();
        let estimate = match estimate {
            Ok(estimate) => estimate,
            Err(reason) => {
                return Decision { fail_if, verdict: Verdict::Undecided, certain: false, reason, value: None };
            }
        };
        let fails = self.condition.holds(estimate.value);
        let bounds = [estimate.low, estimate.high];
        let certain = bounds.iter().flatten().all(|bound| self.condition.holds(*bound) == fails);
        let reason = if certain { "for all values within the interval" } else { "in doubt: by the point estimate" };
        Decision {
            fail_if,
            verdict: if fails { Verdict::Failed } else { Verdict::Passed },
            certain,
            reason: reason.to_owned(),
            value: Some(Value {
                name: self.condition.name().to_owned(),
                value: estimate.value,
                low: estimate.low,
                high: estimate.high,
                unit: self.metric.unit(),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
