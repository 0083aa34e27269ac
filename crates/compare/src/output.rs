//! Compares the plugins' standard output and error, and the loader's messages.

use dynvm::abi::types::LogLevel;

use crate::found::{Found, of_lines};
use crate::rules::{Applied, Rule, Rules};

/// Prefix of the loader's message about a failure. The event of the failed callback reports it too.
pub(crate) const LOADERS_OWN: &str = "the plugin failed in ";

/// Whether a message is the report of a Rust panic.
pub fn is_panic(text: &str) -> bool {
    text.contains("panicked at ")
}

type Written = [(LogLevel, String)];

/// The first difference in the output, apart from declared differences.
pub(crate) fn of_output(native: &Written, wasm: &Written, rules: &Rules, applied: &mut Applied) -> Option<Found> {
    if native == wasm {
        return None;
    }
    let mut sides = [native.to_vec(), wasm.to_vec()];
    if rules.has(Rule::PanicText) {
        drop_from_both(&mut sides, Rule::PanicText, applied, print_of_panic);
    }
    if rules.has(Rule::FailureText) {
        drop_from_both(&mut sides, Rule::FailureText, applied, |side| {
            side.iter().map(|(_, text)| text.starts_with(LOADERS_OWN)).collect()
        });
    }
    if rules.has(Rule::PanicUnwinding) {
        let before = sides[0].len();
        sides[0].retain(|(_, text)| !text.starts_with("thread caused non-unwinding panic"));
        if sides[0].len() < before {
            applied.count(Rule::PanicUnwinding);
        }
    }
    let [native, wasm] = &sides;
    if native == wasm {
        return None;
    }
    if rules.has(Rule::StandardOutput) && is_output(native, wasm) {
        applied.count(Rule::StandardOutput);
        return None;
    }
    let lines = |written: &Written| {
        let line = |(level, text): &(LogLevel, String)| {
            ("output".to_owned(), format!("[{}] {text}", level.name().to_lowercase()))
        };
        written.iter().map(line).collect::<Vec<_>>()
    };
    of_lines(&lines(native), &lines(wasm))
}

/// Marks the messages that a panic printed: everything from the first one on that is an error,
/// including a backtrace, in as many pieces as it was written. The loader's message about the
/// failure follows them.
fn print_of_panic(written: &Written) -> Vec<bool> {
    let start = start_of_panic(written).unwrap_or(written.len());
    let mut panicking = true;
    let is_of_panic = |(index, (level, text)): (usize, &(LogLevel, String))| {
        panicking &= index < start || !text.starts_with(LOADERS_OWN);
        index >= start && panicking && *level == LogLevel::Error
    };
    written.iter().enumerate().map(is_of_panic).collect()
}

/// Maximum number of pieces before the location: a report longer than the standard library's buffer
/// arrives in pieces, with the thread's name and number separate.
const PIECES_OF_BEGINNING: usize = 8;

/// Start of a panic's report: the piece with the location, or an earlier one with the thread's name.
fn start_of_panic(written: &Written) -> Option<usize> {
    let says = written.iter().position(|(_, text)| is_panic(text))?;
    let before =
        written[..says].iter().rev().take(PIECES_OF_BEGINNING).take_while(|(level, _)| *level == LogLevel::Error);
    let names = before.enumerate().find(|(_, (_, text))| text.trim_start().starts_with("thread '"));
    Some(names.map_or(says, |(back, _)| says - 1 - back))
}

/// Removes the matching messages from both sides, whatever their text and number.
fn drop_from_both(
    sides: &mut [Vec<(LogLevel, String)>; 2],
    rule: Rule,
    applied: &mut Applied,
    is: impl Fn(&Written) -> Vec<bool>,
) {
    let marks = sides.each_ref().map(|side| is(side));
    if !marks.iter().all(|marks| marks.contains(&true)) {
        return;
    }
    let matching = |index: usize| {
        let marked = sides[index].iter().zip(&marks[index]).filter(|(_, is)| **is);
        marked.map(|(line, _)| line).collect::<Vec<_>>()
    };
    if matching(0) != matching(1) {
        applied.count(rule);
    }
    for (side, marks) in sides.iter_mut().zip(&marks) {
        let mut marks = marks.iter();
        side.retain(|_| marks.next() != Some(&true));
    }
}

/// Whether two outputs differ only in how they are split, or the native one lacks what the C
/// library wrote directly to the process's output.
fn is_output(native: &Written, wasm: &Written) -> bool {
    let printed =
        |written: &Written| written.iter().all(|(level, _)| matches!(level, LogLevel::Info | LogLevel::Error));
    let whole = |written: &Written, of: LogLevel| -> String {
        written.iter().filter(|(level, _)| *level == of).map(|(_, text)| text.replace('\n', "")).collect()
    };
    let same = [LogLevel::Info, LogLevel::Error].into_iter().all(|level| whole(native, level) == whole(wasm, level));
    let mut rest = wasm.iter();
    let is_part = native.iter().all(|line| rest.any(|other| other == line));
    printed(native) && printed(wasm) && (same || is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(lines: &[(LogLevel, &str)]) -> Vec<(LogLevel, String)> {
        lines.iter().map(|(level, text)| (*level, (*text).to_owned())).collect()
    }

    /// Whether two outputs are equal under one rule, and different without it.
    fn passes_by(rule: Rule, native: &[(LogLevel, &str)], wasm: &[(LogLevel, &str)]) -> bool {
        let (native, wasm) = (written(native), written(wasm));
        let mut applied = Applied::default();
        let with = of_output(&native, &wasm, &Rules::strict().allow(rule), &mut applied).is_none();
        let without = of_output(&native, &wasm, &Rules::strict(), &mut Applied::default()).is_none();
        with && !without && applied.of(rule) == 1
    }

    #[test]
    fn each_rule_passes_over_its_own() {
        use LogLevel::{Critical, Error, Info};
        let panic = [(Error, "thread 'main' panicked at a.rs:1"), (Error, "note: run with"), (Info, "after")];
        let other =
            [(Error, "thread '1' panicked at b.rs:1"), (Error, "stack backtrace:"), (Error, " 0: f"), (Info, "after")];
        assert!(passes_by(Rule::PanicText, &other, &panic));
        assert!(!passes_by(Rule::PanicText, &[(Info, "after")], &panic), "only one side panics");
        // Pieces as written for a report of more than 512 bytes.
        let pieces = |number| {
            [
                (Error, "\nthread '"),
                (Error, "<unnamed>"),
                (Error, "' ("),
                (Error, number),
                (Error, ") panicked at "),
                (Error, "a.rs:1"),
            ]
        };
        assert!(passes_by(Rule::PanicText, &pieces("31201"), &pieces("1")));
        let printed = |text| [&[(Error, text)][..], &pieces("1")[..]].concat();
        assert!(!passes_by(Rule::PanicText, &printed("a"), &printed("b")), "what was printed before it is compared");
        assert!(passes_by(
            Rule::FailureText,
            &[(Critical, "the plugin failed in f: SIGSEGV")],
            &[(Critical, "the plugin failed in f: wasm trap")],
        ));
        assert!(passes_by(Rule::PanicUnwinding, &[(Error, "thread caused non-unwinding panic. aborting.")], &[]));
        assert!(passes_by(Rule::StandardOutput, &[], &[(Info, "printed")]), "by the C library");
        assert!(passes_by(Rule::StandardOutput, &[(Info, "ab")], &[(Info, "a"), (Info, "b")]), "in pieces");
        assert!(!passes_by(Rule::StandardOutput, &[(Info, "printed")], &[]), "natively alone");
        assert!(!passes_by(Rule::StandardOutput, &[(Info, "1")], &[(Info, "2")]), "other words");
        assert!(!passes_by(Rule::StandardOutput, &[], &[(Critical, "the loader's")]));
    }
}
