//! Values and events as text: complete for comparison, shortened for display.

use std::fmt::Write as _;

use dynvm::call_trace::{Event, Named, Value, list};
use dynvm::host::MetricValue;

/// Formats an event.
pub(crate) fn event(event: &Event) -> String {
    match event {
        Event::CallbackEnter { name, arguments } => format!("-> {name}({})", values(arguments)),
        Event::CallbackLeave { name, exported: false, .. } => format!("<- {name} is not exported"),
        Event::CallbackLeave { name, failure: Some(failure), .. } => format!("<- {name} failed: {failure}"),
        Event::CallbackLeave { name, returned: Some(value), .. } => format!("<- {name} = {value}"),
        Event::CallbackLeave { name, .. } => format!("<- {name}"),
        Event::Hostcall { name, arguments, status, results } => {
            let mut line = format!("   {name}({}) = {}", values(arguments), status.name());
            if !results.is_empty() {
                let _ = write!(line, ", {}", values(results));
            }
            line
        }
        other => format!("{other:?}"),
    }
}

fn values(values: &[Named]) -> String {
    values.iter().map(|(name, value)| format!("{name}: {}", self::value(name, value))).collect::<Vec<_>>().join(", ")
}

/// Formats a complete value.
pub(crate) fn value(name: &'static str, value: &Value) -> String {
    match value {
        Value::Bytes(bytes) => format!("\"{}\"", exact(bytes)),
        other => {
            let named = list(&[(name, other.clone())]);
            named.split_once(": ").map_or(named.clone(), |(_, text)| text.to_owned())
        }
    }
}

/// Formats bytes completely, for comparison.
pub fn exact(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\'", "'")
}

/// Formats a metric's value.
pub(crate) fn metric(value: &MetricValue) -> String {
    match value {
        MetricValue::Counter(value) => value.to_string(),
        MetricValue::Gauge(value) => value.to_string(),
        MetricValue::Histogram { count, sum } => format!("{count} samples, sum {sum}"),
        other => format!("{other:?}"),
    }
}

/// Length in bytes of the longest common prefix, on a character boundary.
pub fn common_prefix(a: &str, b: &str) -> usize {
    let pairs = a.char_indices().zip(b.chars());
    pairs.take_while(|((_, a), b)| a == b).last().map_or(0, |((at, character), _)| at + character.len_utf8())
}

/// Shortens a long text to an excerpt around a position.
pub fn excerpt(text: &str, at: usize) -> String {
    const MOST: usize = 300;
    const AHEAD: usize = 120;
    const AROUND: usize = 60;
    if text.len() <= MOST {
        return text.to_owned();
    }
    let floor = |index: usize| text.floor_char_boundary(index.min(text.len()));
    let (from, to) = (floor(at.saturating_sub(AROUND)), floor(at + AHEAD));
    if from <= AHEAD {
        return format!("{}... ({} characters)", &text[..floor(from + 2 * AHEAD)], text.chars().count());
    }
    let end = if to < text.len() { "..." } else { "" };
    format!("{}...{}{end} ({} characters)", &text[..floor(AROUND)], &text[from..to], text.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_around_the_difference() {
        let long = format!("{}A{}", "e".repeat(500), "e".repeat(500));
        assert!(excerpt(&long, 500).contains('A'));
        assert_eq!(excerpt("short", 3), "short");
        assert_eq!(common_prefix("aéb", "aéc"), 3);
    }
}
