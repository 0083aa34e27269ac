//! Lines of the text format.

use std::fmt::{self, Display, Write};
use std::time::Duration;

/// A page that is written.
pub(super) struct Page<'a, W> {
    to: &'a mut W,
}

impl<'a, W: Write> Page<'a, W> {
    pub(super) fn new(to: &'a mut W) -> Page<'a, W> {
        Page { to }
    }

    /// The head of a family of metrics; its samples follow.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) -> fmt::Result {
        writeln!(self.to, "# HELP {name} {}", Escaped { text: help, quotes: false })?;
        writeln!(self.to, "# TYPE {name} {kind}")
    }

    /// A sample.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, String)], value: impl Display) -> fmt::Result {
        self.to.write_str(name)?;
        for (index, (label, text)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            write!(self.to, "{before}{label}=\"{}\"", Escaped { text, quotes: true })?;
        }
        let after = if labels.is_empty() { "" } else { "}" };
        writeln!(self.to, "{after} {value}")
    }
}

/// Text in which backslashes and line ends are escaped, and in a label's value quotes too.
struct Escaped<'a> {
    text: &'a str,
    quotes: bool,
}

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.text.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '"' if self.quotes => f.write_str("\\\"")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// A duration in seconds, exactly, without zeros at the end.
pub(super) struct Seconds(pub(super) Duration);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:09}", self.0.as_secs(), self.0.subsec_nanos());
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_exact() {
        let text = |nanoseconds| Seconds(Duration::from_nanos(nanoseconds)).to_string();
        assert_eq!([0, 64, 1_500_000_000, 10_000_000_000].map(text), ["0", "0.000000064", "1.5", "10"]);
    }
}
