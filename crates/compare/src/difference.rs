//! Finds the first difference between the traces of a step, apart from declared differences.

use dynvm::host::MetricValue;

use crate::events::of_events;
use crate::found::{Found, of_lines};
use crate::output::of_output;
use crate::rules::{Applied, Rule, Rules};
use crate::text;
use crate::trace::{StepResult, StepTrace};

/// The first difference between two traces of a step.
pub fn first_difference<R: StepResult>(
    native: &StepTrace<R>,
    wasm: &StepTrace<R>,
    rules: &Rules,
    applied: &mut Applied,
) -> Option<Found> {
    let of_calls = if native.events == wasm.events { None } else { of_events(native, wasm, rules, applied, |_| ()) };
    of_calls
        .or_else(|| {
            if native.result == wasm.result {
                return None;
            }
            of_lines(&native.result.lines(), &wasm.result.lines())
        })
        .or_else(|| of_output(&native.written, &wasm.written, rules, applied))
        .or_else(|| of_metrics(native.metrics.as_deref(), wasm.metrics.as_deref(), rules, applied))
        .or_else(|| of_failures(native.failure.as_ref(), wasm.failure.as_ref(), rules, applied))
}

type Metrics<'a> = Option<&'a [(String, MetricValue)]>;

fn of_metrics(native: Metrics<'_>, wasm: Metrics<'_>, rules: &Rules, applied: &mut Applied) -> Option<Found> {
    if native == wasm {
        return None;
    }
    let names =
        |metrics: Metrics<'_>| metrics.unwrap_or_default().iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    if rules.has(Rule::MetricValues) && names(native) == names(wasm) {
        applied.count(Rule::MetricValues);
        return None;
    }
    let lines = |metrics: Metrics<'_>| {
        let line = |(name, value): &(String, MetricValue)| (format!("metric {name}"), text::metric(value));
        metrics.unwrap_or_default().iter().map(line).collect::<Vec<_>>()
    };
    of_lines(&lines(native), &lines(wasm))
}

fn of_failures(native: Option<&String>, wasm: Option<&String>, rules: &Rules, applied: &mut Applied) -> Option<Found> {
    match (native, wasm) {
        (a, b) if a == b => None,
        (Some(_), Some(_)) if rules.has(Rule::FailureText) => {
            applied.count(Rule::FailureText);
            None
        }
        (a, b) => {
            let text = |failure: Option<&String>| failure.map_or_else(|| "no failure".to_owned(), String::clone);
            Some(Found { aspect: "failure of the VM".to_owned(), values: [text(a), text(b)] })
        }
    }
}
