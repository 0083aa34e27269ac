//! Requests as JSON Lines: each line has the fields of a scenario's request, or a whole step.

use serde::de::Error as _;

use crate::scenario::{RequestStep, Step};
use serde_json::Value;

/// Names of steps; no field of a request has such a name.
const STEPS: [&str; 4] = ["request", "connection", "interleaved", "tick"];

/// Parses a text. Empty lines are ignored.
///
/// # Errors
///
/// A line is neither a request nor a step; the message has its number and the reason.
pub fn parse(text: &str) -> Result<Vec<Step>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let steps = lines.map(|(index, line)| step(line).map_err(|error| format!("line {}: {error}", index + 1)));
    let steps = steps.collect::<Result<Vec<_>, _>>()?;
    if steps.is_empty() { Err("no line with a request".to_owned()) } else { Ok(steps) }
}

fn step(line: &str) -> Result<Step, serde_json::Error> {
    let value: Value = serde_json::from_str(line)?;
    let Some(object) = value.as_object() else {
        return Err(serde_json::Error::custom("not an object: write {\"method\": \"GET\", \"path\": \"/\"}"));
    };
    if object.len() == 1 && object.keys().any(|name| STEPS.contains(&name.as_str())) {
        return serde_json::from_value(value);
    }
    // Parse the text again, so that the message has the column.
    serde_json::from_str::<RequestStep>(line).map(|request| Step::Request(Box::new(request)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_steps_are_read() {
        let text = "{\"path\": \"/a\", \"headers\": {\"x\": [\"1\", \"2\"]}, \"response\": {\"status\": 404}}\n\n{\"tick\": 5}\n{}\n";
        let steps = parse(text).unwrap();
        let [Step::Request(first), Step::Tick(5), Step::Request(last)] = steps.as_slice() else { panic!("{steps:?}") };
        assert_eq!(first.headers.0.len(), 2);
        assert_eq!(**last, RequestStep::default());
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, part) in [
            ("{}\n{\"pth\": \"/\"}", "line 2: unknown field `pth`"),
            ("[]", "line 1: not an object"),
            ("{}\n\n{\"path\": ", "line 3: EOF"),
            ("{\"tick\": \"soon\"}", "line 1: invalid type"),
            (" \n", "no line with a request"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{part:?} is in {error:?}");
        }
    }
}
