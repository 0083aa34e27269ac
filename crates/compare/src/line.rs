//! A trace as lines of text with complete values, for alignment and display.

use dynvm::call_trace::Event;

use crate::events::{Passed, of_events};
use crate::output::LOADERS_OWN;
use crate::rules::{Applied, Rules};
use crate::text;
use crate::trace::{StepResult, StepTrace};

/// A line of a trace, for display and for comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Text for display.
    pub text: String,
    /// Text for comparison: equal in both traces where a rule ignores the difference.
    pub key: String,
}

/// The lines of a trace. Keys equal the texts.
pub fn lines<R: StepResult>(trace: &StepTrace<R>) -> Vec<Line> {
    let mut lines: Vec<Line> = trace.events.iter().map(of_event).collect();
    let mut texts = Vec::new();
    let written = trace.written.iter().filter(|(_, text)| !text.starts_with(LOADERS_OWN));
    texts.extend(written.map(|(level, text)| format!("output [{}] {text:?}", level.name().to_lowercase())));
    texts.extend(trace.result.lines().into_iter().map(|(aspect, value)| format!("{aspect}: {value}")));
    for (name, value) in trace.metrics.iter().flatten() {
        texts.push(format!("metric {name}: {}", text::metric(value)));
    }
    lines.extend(texts.into_iter().map(|text| Line { key: text.clone(), text }));
    lines
}

/// A failure with a backtrace appears as its first line.
fn of_event(event: &Event) -> Line {
    let key = text::event(event);
    let text = match key.split_once('\n') {
        Some((first, rest)) => format!("{first} (and {} lines more)", rest.lines().count()),
        None => key.clone(),
    };
    Line { text, key }
}

/// Makes keys equal where a rule ignores the difference, and removes lines that a rule allows on one side only.
pub fn pass_over<R>(native: &StepTrace<R>, wasm: &StepTrace<R>, lines: &mut [Vec<Line>; 2], rules: &Rules) {
    let [a, b] = lines;
    let mut alone = Vec::new();
    of_events(native, wasm, rules, &mut Applied::default(), |step| match step {
        Passed::Pair(at, beside) => b[beside].key.clone_from(&a[at].key),
        Passed::NativeOnly(at) => alone.push(at),
    });
    for at in alone.into_iter().rev() {
        a.remove(at);
    }
}
