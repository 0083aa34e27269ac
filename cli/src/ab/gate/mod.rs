//! Gates: conditions under which the tool fails (`--fail-if`).

mod metrics;

use dynvm_gate::{Condition, Error, Interval};
use serde::Serialize;

use super::report::numbers::Numbers;
use crate::exit::usage;
pub use metrics::Facts;
use metrics::Metric;

/// What to make of a gate whose intervals allow both answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum InDoubt {
    /// The point estimates decide.
    Estimate,
    /// It fails.
    Fail,
    /// It passes.
    Pass,
}

/// A gate.
pub struct Gate(Condition);

/// What a gate decided.
#[derive(Clone, Debug, Serialize)]
pub struct Decision {
    /// The condition under which it fails.
    pub fail_if: String,
    pub verdict: Verdict,
    /// The answer is the same for all values within the intervals.
    pub certain: bool,
    /// Why it could not be decided, or what it was decided by.
    pub reason: String,
    pub values: Vec<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Passed,
    Failed,
    /// A value is missing, or nothing was measured: this is no pass.
    Undecided,
}

/// A value that a gate looked at: nanoseconds, bytes or a plain number.
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

/// Reads gates, before anything is built.
///
/// # Errors
///
/// A condition does not make sense; the message shows the place, and lists the names if one is not known.
pub fn parse(texts: &[String]) -> anyhow::Result<Vec<Gate>> {
    texts.iter().map(|text| Gate::parse(text).map_err(|error| at_fault(&error))).collect()
}

fn at_fault(error: &Error) -> anyhow::Error {
    usage(format!("--fail-if: {error}"))
}

impl Gate {
    fn parse(text: &str) -> Result<Gate, Error> {
        let condition = Condition::parse(text)?;
        if let Some(name) = condition.names().into_iter().find(|name| Metric::parse(name).is_none()) {
            return Err(condition.error_at(name, metrics::unknown(name)));
        }
        condition.check(&|name| Metric::parse(name).map(Metric::dimension))?;
        Ok(Gate(condition))
    }

    /// Checks, before anything is measured, that all values can be had.
    ///
    /// # Errors
    ///
    /// One cannot; the message says why.
    pub fn check(&self, facts: &Facts) -> anyhow::Result<()> {
        for name in self.0.names() {
            if let Some(Err(reason)) = Metric::parse(name).map(|metric| metric.check(facts)) {
                return Err(at_fault(&self.0.error_at(name, format!("{name} is not to be had: {reason}"))));
            }
        }
        Ok(())
    }

    /// Decides it; without numbers, for the reason that there are none, it is undecided.
    pub fn decide(&self, numbers: Result<&Numbers, &str>, in_doubt: InDoubt) -> Decision {
        let undecided = |reason: String| Decision {
            fail_if: self.0.text().to_owned(),
            verdict: Verdict::Undecided,
            certain: false,
            reason,
            values: Vec::new(),
        };
        let numbers = match numbers {
            Ok(numbers) => numbers,
            Err(reason) => return undecided(format!("nothing was measured: {reason}")),
        };
        let value_of = |name: &str| {
            let metric = Metric::parse(name).ok_or_else(|| metrics::unknown(name))?;
            let estimate = metric.value(numbers).map_err(|reason| format!("{name} is not to be had: {reason}"))?;
            let bound = |bound: Option<f64>| bound.unwrap_or(estimate.value);
            Ok(Interval { low: bound(estimate.low), value: estimate.value, high: bound(estimate.high) })
        };
        match self.0.decide(&value_of) {
            Err(error) => undecided(error.to_string()),
            Ok(outcome) => {
                let (fails, reason) = match (outcome.certain, in_doubt) {
                    (true, _) => (outcome.holds, "for all values within the intervals"),
                    (false, InDoubt::Estimate) => (outcome.holds, "in doubt: by the point estimates"),
                    (false, InDoubt::Fail) => (true, "in doubt: which fails, as asked for"),
                    (false, InDoubt::Pass) => (false, "in doubt: which passes, as asked for"),
                };
                Decision {
                    fail_if: self.0.text().to_owned(),
                    verdict: if fails { Verdict::Failed } else { Verdict::Passed },
                    certain: outcome.certain,
                    reason: reason.to_owned(),
                    values: self.values(numbers),
                }
            }
        }
    }

    fn values(&self, numbers: &Numbers) -> Vec<Value> {
        let value = |name: &str| {
            let metric = Metric::parse(name)?;
            let estimate = metric.value(numbers).ok()?;
            Some(Value {
                name: name.to_owned(),
                value: estimate.value,
                low: estimate.low,
                high: estimate.high,
                unit: metric.unit(),
            })
        };
        self.0.names().into_iter().filter_map(value).collect()
    }
}

#[cfg(test)]
mod tests;
