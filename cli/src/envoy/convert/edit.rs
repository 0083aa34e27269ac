//! Edits of a text by ranges; all else stays as it is.

use std::collections::BTreeMap;
use std::ops::Range;

/// Edits that are applied together. The same edit may be made twice: an anchored node is reached by each of its aliases.
#[derive(Default)]
pub struct Edits {
    /// By start and end.
    replacements: BTreeMap<(usize, usize), String>,
    /// Columns by which the line that starts here moves to the right.
    shifts: BTreeMap<usize, usize>,
}

impl Edits {
    pub fn replace(&mut self, range: Range<usize>, with: impl Into<String>) {
        self.replacements.insert((range.start, range.end), with.into());
    }

    pub fn insert(&mut self, at: usize, what: impl Into<String>) {
        self.replace(at..at, what);
    }

    /// Moves the lines that start within a range to the right.
    pub fn indent(&mut self, text: &str, range: Range<usize>, columns: usize) {
        let starts = text[range.clone()].match_indices('\n').map(|(offset, _)| range.start + offset + 1);
        for start in starts.filter(|start| *start < range.end) {
            // Spaces on an empty line would be the only change to it.
            if !text[start..].starts_with(['\n', '\r']) {
                self.shifts.insert(start, columns);
            }
        }
    }

    /// Columns by which the line that starts here moves.
    pub fn shift(&self, line: usize) -> usize {
        self.shifts.get(&line).copied().unwrap_or(0)
    }

    /// The edited text. `None` if two replacements overlap.
    pub fn apply(&self, text: &str) -> Option<String> {
        let replaced = |at: usize| self.replacements.keys().any(|(start, end)| *start < at && at < *end);
        let shifts = self.shifts.iter().filter(|(at, _)| !replaced(**at));
        // A shift comes before what is inserted at the start of its line.
        let shifts = shifts.map(|(at, columns)| (*at, 0, *at, " ".repeat(*columns)));
        let replacements = self.replacements.iter().map(|((start, end), with)| (*start, 1, *end, with.clone()));
        let mut all: Vec<(usize, u8, usize, String)> = shifts.chain(replacements).collect();
        all.sort();
        let (mut output, mut done) = (String::with_capacity(text.len()), 0);
        for (start, _, end, with) in all {
            output.push_str(text.get(done..start)?);
            output.push_str(&with);
            done = end;
        }
        output.push_str(&text[done..]);
        Some(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_go_together() {
        let text = "a:\n  b: 1\n\n  c:\n    d: 2\ne: 3\n";
        let mut edits = Edits::default();
        edits.replace(0..1, "x:\n  y");
        edits.indent(text, 2..25, 2);
        edits.insert(5, "z: 0\n    ");
        edits.insert(5, "z: 0\n    ");
        edits.replace(23..24, "22");
        assert_eq!(edits.apply(text).unwrap(), "x:\n  y:\n    z: 0\n    b: 1\n\n    c:\n      d: 22\ne: 3\n");
        edits.replace(22..24, "");
        assert_eq!(edits.apply(text), None);
    }

    #[test]
    fn lines_of_a_replaced_text_are_not_moved() {
        let text = "a:\n  b:\n    c: 1\n";
        let mut edits = Edits::default();
        edits.indent(text, 0..16, 2);
        edits.replace(7..16, " {}");
        assert_eq!(edits.apply(text).unwrap(), "a:\n    b: {}\n");
    }
}
