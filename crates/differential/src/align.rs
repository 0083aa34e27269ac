//! Aligns two traces: common lines in one row, others opposite an empty cell.

use dynvm_compare::line::Line;
use dynvm_compare::text::{common_prefix, excerpt};
use serde::Serialize;
use similar::{Algorithm, DiffTag, capture_diff_slices};

/// A row of two aligned traces. `None` is an empty cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Whether both sides are equal here, or equal under a rule.
    pub same: bool,
    /// The native build's line.
    pub native: Option<String>,
    /// The wasm build's line.
    pub wasm: Option<String>,
}

/// Number of equal rows before the first difference.
const BEFORE: usize = 6;

/// Number of rows from the first difference on.
const AFTER: usize = 12;

/// Aligns two traces and returns the rows around the first difference; no rows without one.
pub fn align(native: &[Line], wasm: &[Line]) -> Vec<Row> {
    let keys = |lines: &[Line]| lines.iter().map(|line| line.key.clone()).collect::<Vec<_>>();
    let mut rows = Vec::new();
    let text = |lines: &[Line], index: usize| lines.get(index).map(|line| line.text.clone());
    for op in capture_diff_slices(Algorithm::Myers, &keys(native), &keys(wasm)) {
        let (tag, old, new) = op.as_tag_tuple();
        for index in 0..old.len().max(new.len()) {
            let of = |range: &std::ops::Range<usize>, lines: &[Line]| {
                (index < range.len()).then(|| text(lines, range.start + index)).flatten()
            };
            let same = tag == DiffTag::Equal;
            rows.push(Row { same, native: of(&old, native), wasm: of(&new, wasm) });
        }
    }
    let Some(first) = rows.iter().position(|row| !row.same) else { return Vec::new() };
    let end = (first + AFTER).min(rows.len());
    let mut rows: Vec<Row> = rows.drain(first.saturating_sub(BEFORE)..end).collect();
    for row in &mut rows {
        shorten(row);
    }
    rows
}

/// Shortens long lines around their first difference.
fn shorten(row: &mut Row) {
    let at = match (&row.native, &row.wasm) {
        (Some(native), Some(wasm)) => common_prefix(native, wasm),
        _ => 0,
    };
    for text in [&mut row.native, &mut row.wasm].into_iter().flatten() {
        *text = excerpt(text, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<Line> {
        texts.iter().map(|text| Line { text: (*text).to_owned(), key: (*text).to_owned() }).collect()
    }

    fn shape(rows: &[Row]) -> Vec<(Option<&str>, Option<&str>)> {
        rows.iter().map(|row| (row.native.as_deref(), row.wasm.as_deref())).collect()
    }

    #[test]
    fn what_only_one_has_stands_alone() {
        let rows = align(&lines(&["a", "b", "c"]), &lines(&["a", "c"]));
        assert_eq!(shape(&rows), [(Some("a"), Some("a")), (Some("b"), None), (Some("c"), Some("c"))]);
        assert_eq!(rows.iter().map(|row| row.same).collect::<Vec<_>>(), [true, false, true]);
    }

    #[test]
    fn what_differs_stands_beside_what_it_differs_from() {
        let rows = align(&lines(&["a", "x: 1", "c"]), &lines(&["a", "x: 2", "c"]));
        assert_eq!(shape(&rows)[1], (Some("x: 1"), Some("x: 2")));
        assert!(align(&lines(&["a"]), &lines(&["a"])).is_empty());
    }

    #[test]
    fn only_what_is_around_the_difference_is_shown() {
        let many: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        let native: Vec<&str> = many.iter().map(String::as_str).collect();
        let mut wasm = native.clone();
        wasm[50] = "other";
        let rows = align(&lines(&native), &lines(&wasm));
        assert_eq!(rows.len(), BEFORE + AFTER);
        assert_eq!(rows[0].native.as_deref(), Some("44"));
        assert!(!rows[BEFORE].same);
    }

    #[test]
    fn long_lines_are_cut_around_the_difference() {
        let long = "é".repeat(500);
        let rows = align(&lines(&[&format!("{long}A{long}")]), &lines(&[&format!("{long}B{long}")]));
        let (native, wasm) = (rows[0].native.as_deref().unwrap(), rows[0].wasm.as_deref().unwrap());
        assert!(native.contains('A') && wasm.contains('B'), "{native}\n{wasm}");
        assert!(native.len() < 400 && native.ends_with("(1001 characters)"), "{native}");
    }
}
