//! Errors that show the place.

use std::fmt;
use std::ops::Range;

/// What is wrong with a condition, and where in its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    text: String,
    at: Range<usize>,
    what: String,
}

impl Error {
    pub(crate) fn new(text: &str, at: Range<usize>, what: impl Into<String>) -> Error {
        Error { text: text.to_owned(), at, what: what.into() }
    }

    /// What is wrong.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Where: a range of bytes of the text.
    pub fn at(&self) -> Range<usize> {
        self.at.clone()
    }
}

impl fmt::Display for Error {
    /// The message, then the text with the place marked; further lines of a message come after:
    ///
    /// ```text
    /// column 14: a time cannot be compared with a plain number
    ///   native.p50 > 5
    ///                ^
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chars = |text: &str| text.chars().count();
        let before = chars(self.text.get(..self.at.start).unwrap_or(&self.text));
        let marked = chars(self.text.get(self.at.clone()).unwrap_or_default()).max(1);
        // A line break or a tab in the text would put the mark at the wrong place.
        let line: String = self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let (what, more) = self.what.split_once('\n').unwrap_or((&self.what, ""));
        write!(f, "column {}: {what}\n  {line}\n  {}{}", before + 1, " ".repeat(before), "^".repeat(marked))?;
        if more.is_empty() { Ok(()) } else { write!(f, "\n{more}") }
    }
}

impl std::error::Error for Error {}
