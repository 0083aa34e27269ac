//! A trace as lines of text, all of each value: for alignment and for people.

use std::fmt::Write as _;

use dynvm::abi::types::Status;
use dynvm::call_trace::{Event, Named, Value, list};

use super::{StepTrace, result};

/// A line of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The line.
    pub text: String,
    /// The line as it is compared: what rules pass over is the same in both traces.
    pub key: String,
}

/// The lines of what was seen of a step. Keys are the texts.
pub fn lines(trace: &StepTrace) -> Vec<Line> {
    let mut lines: Vec<Line> = trace.events.iter().map(of_event).collect();
    let mut texts = Vec::new();
    let written = trace.written.iter().filter(|(_, text)| !text.starts_with(LOADERS_OWN));
    texts.extend(written.map(|(level, text)| format!("output [{}] {text:?}", level.name().to_lowercase())));
    texts.extend(result::lines(&trace.result).into_iter().map(|(aspect, value)| format!("{aspect}: {value}")));
    for (name, value) in trace.metrics.iter().flatten() {
        texts.push(format!("metric {name}: {}", result::metric(value)));
    }
    lines.extend(texts.into_iter().map(|text| Line { key: text.clone(), text }));
    lines
}

/// How the loader's message about a failure begins. The event of the callback that failed has it too.
pub(super) const LOADERS_OWN: &str = "the plugin failed in ";

/// A failure with its backtrace is shown by its first line.
fn of_event(event: &Event) -> Line {
    let key = self::event(event);
    let text = match key.split_once('\n') {
        Some((first, rest)) => format!("{first} (and {} lines more)", rest.lines().count()),
        None => key.clone(),
    };
    Line { text, key }
}

/// An event.
pub(super) fn event(event: &Event) -> String {
    match event {
        Event::CallbackEnter { name, arguments } => format!("-> {name}({})", values(arguments)),
        Event::CallbackLeave { name, exported: false, .. } => format!("<- {name} is not exported"),
        Event::CallbackLeave { name, failure: Some(failure), .. } => format!("<- {name} failed: {failure}"),
        Event::CallbackLeave { name, returned: Some(value), .. } => format!("<- {name} = {value}"),
        Event::CallbackLeave { name, .. } => format!("<- {name}"),
        Event::Hostcall { name, arguments, status, results } => {
            let mut line = format!("   {name}({}) = {}", values(arguments), status_name(*status));
            if !results.is_empty() {
                let _ = write!(line, ", {}", values(results));
            }
            line
        }
        other => format!("{other:?}"),
    }
}

pub(super) fn status_name(status: Status) -> &'static str {
    status.name()
}

fn values(values: &[Named]) -> String {
    values.iter().map(|(name, value)| format!("{name}: {}", self::value(name, value))).collect::<Vec<_>>().join(", ")
}

/// One value, all of it.
pub(super) fn value(name: &'static str, value: &Value) -> String {
    match value {
        Value::Bytes(bytes) => format!("\"{}\"", exact(bytes)),
        other => {
            let named = list(&[(name, other.clone())]);
            named.split_once(": ").map_or(named.clone(), |(_, text)| text.to_owned())
        }
    }
}

/// Bytes as text, all of them, since they are compared.
pub(super) fn exact(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\'", "'")
}
