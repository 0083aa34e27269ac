//! Prints a difference: both traces with the difference marked, its explanation, and the command that reproduces it.

use dynvm_compare::text::common_prefix;
use dynvm_differential::align::Row;
use owo_colors::OwoColorize as _;

use super::compare::{Difference, Generated};
use super::report::Report;

/// Minimum terminal width, in columns, for side-by-side traces.
const WIDE: usize = 160;

/// Prints the statistics of generated traffic, the ignored differences, and the first difference.
pub fn print(report: &Report) {
    if let Some(generated) = &report.generated {
        print_generated(generated);
    }
    for rule in &report.rules {
        anstream::println!("  {}", rule.to_string().dimmed());
    }
    if let Some(difference) = &report.difference {
        print_difference(difference);
    }
}

fn print_generated(generated: &Generated) {
    anstream::println!(
        "  {} generated streams compared, seed {}: {} callbacks and hostcalls, {:.1} s, {:.0} streams per second",
        generated.streams.bold(),
        generated.seed,
        generated.events,
        generated.seconds,
        generated.streams_per_second
    );
    if generated.failed_alike > 0 {
        anstream::println!(
            "  {} of {} pairs of VMs failed, both sides in the same way",
            generated.failed_alike,
            generated.vm_pairs
        );
    }
}

fn print_difference(difference: &Difference) {
    anstream::println!();
    match terminal_size::terminal_size() {
        Some((width, _)) if usize::from(width.0) >= WIDE => side_by_side(&difference.trace, usize::from(width.0)),
        _ => unified(&difference.trace),
    }
    anstream::println!();
    for sentence in &difference.explanation.says {
        anstream::println!("  {sentence}");
    }
    let minimal = &difference.scenario;
    if minimal.shows_in_ten < 10 {
        anstream::println!("  The scenario shows it in {} of 10 runs.", minimal.shows_in_ten);
    }
    let left = if minimal.complete { "nothing more can be removed" } else { "more can perhaps be removed" };
    let steps = if minimal.steps == 1 { "1 step".to_owned() } else { format!("{} steps", minimal.steps) };
    match &minimal.file {
        Some(path) => anstream::println!(
            "  {} has it in {steps}, {left}. To see it again, add: --scenario {}",
            path.display().bold(),
            path.display()
        ),
        None => {
            let show = if minimal.steps == 1 { "shows" } else { "show" };
            anstream::println!("  {steps} {show} it, {left}. --minimal FILE writes the scenario.");
        }
    }
}

/// One column: unchanged lines, `-` for native, `+` for wasm.
fn unified(rows: &[Row]) {
    anstream::println!("  {} {}", "- native".red(), "+ wasm".green());
    for row in rows {
        if row.same {
            anstream::println!("    {}", row.native.as_deref().unwrap_or_default().dimmed());
            continue;
        }
        let [native, wasm] = marked(row);
        if let Some(native) = native {
            anstream::println!("  {} {}", "-".red(), native);
        }
        if let Some(wasm) = wasm {
            anstream::println!("  {} {}", "+".green(), wasm);
        }
    }
}

/// Two columns; long lines are folded.
fn side_by_side(rows: &[Row], width: usize) {
    let column = (width - 5) / 2;
    anstream::println!("  {:column$} {}", "native".red().bold(), "wasm".green().bold());
    for row in rows {
        let fold = |text: &Option<String>| folded(text.as_deref().unwrap_or_default(), column);
        let (native, wasm) = (fold(&row.native), fold(&row.wasm));
        for index in 0..native.len().max(wasm.len()) {
            let part = |lines: &[String]| lines.get(index).cloned().unwrap_or_default();
            let (native, wasm) = (part(&native), part(&wasm));
            let padding = " ".repeat(column.saturating_sub(native.chars().count()));
            if row.same {
                anstream::println!("  {}{padding} {}", native.dimmed(), wasm.dimmed());
            } else {
                anstream::println!("{} {}{padding} {}", "!".yellow().bold(), native.red(), wasm.green());
            }
        }
    }
}

fn folded(text: &str, column: usize) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters.chunks(column.max(1)).map(|line| line.iter().collect()).collect()
}

/// Both lines, with the differing part marked.
fn marked(row: &Row) -> [Option<String>; 2] {
    let (Some(native), Some(wasm)) = (&row.native, &row.wasm) else {
        let native = row.native.as_ref().map(|text| text.red().to_string());
        return [native, row.wasm.as_ref().map(|text| text.green().to_string())];
    };
    let start = common_prefix(native, wasm);
    let end = common_suffix(&native[start..], &wasm[start..]);
    let parts = |text: &str| {
        let (head, rest) = text.split_at(start);
        let (middle, tail) = rest.split_at(rest.len() - end);
        [head.to_owned(), middle.to_owned(), tail.to_owned()]
    };
    let [a, b] = [parts(native), parts(wasm)];
    [
        Some(format!("{}{}{}", a[0].red(), a[1].red().bold().underline(), a[2].red())),
        Some(format!("{}{}{}", b[0].green(), b[1].green().bold().underline(), b[2].green())),
    ]
}

/// Length in bytes of the longest common suffix, on a character boundary.
fn common_suffix(a: &str, b: &str) -> usize {
    let pairs = a.chars().rev().zip(b.chars().rev());
    pairs.take_while(|(a, b)| a == b).map(|(character, _)| character.len_utf8()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_in_a_line_is_marked() {
        let row = |native: &str, wasm: &str| Row {
            same: false,
            native: Some(native.to_owned()),
            wasm: Some(wasm.to_owned()),
        };
        let plain = |row: &Row| marked(row).map(|text| anstream::adapter::strip_str(&text.unwrap()).to_string());
        assert_eq!(plain(&row("a: \"8\" = Ok", "a: \"4\" = Ok")), ["a: \"8\" = Ok", "a: \"4\" = Ok"]);
        assert_eq!(plain(&row("aé", "aéé")), ["aé", "aéé"]);
        assert_eq!(common_suffix("8\" = Ok", "4\" = Ok"), "\" = Ok".len());
        assert_eq!(folded("abcde", 2), ["ab", "cd", "e"]);
    }
}
