//! The verdict, its summary, and warnings.

use crate::ab::measure::statistics::Estimate;
use crate::ab::report::html::format;
use crate::ab::report::html::markup::Markup;
use crate::ab::report::numbers::Numbers;
use crate::ab::report::{Report, Verdict, terminal};
use crate::ab::thresholds;

pub fn write(main: &mut Markup, report: &Report) {
    let same = report.verdict == Verdict::Identical;
    let class = if report.passed { "verdict good" } else { "verdict bad" };
    main.tag("header", &[("class", &class)], |header| {
        header.text_tag("p", &[("class", &"plugin")], &report.plugin);
        header.tag("h1", &[], |h1| {
            h1.text_tag("span", &[("class", &"sign"), ("aria-hidden", &"true")], if report.passed { "✓" } else { "✗" });
            h1.text(headline(report));
        });
        let steps =
            format!("{} steps compared, {}", report.steps, if same { "all identical" } else { "not all identical" });
        header.text_tag("p", &[("class", &"sub")], format!("{steps}{}", thresholds(report)));
        match &report.measured {
            Some(numbers) => {
                header.text_tag("p", &[("class", &"meaning")], capital(&terminal::meaning(numbers, format::time)));
                tiles(header, numbers);
            }
            None => {
                let reason = report.not_measured.as_deref().unwrap_or_default();
                header.text_tag("p", &[("class", &"meaning")], format!("Not measured: {reason}."));
            }
        }
    });
}

/// Warnings about the precision of the numbers.
pub fn warnings(main: &mut Markup, report: &Report) {
    if !report.warnings.is_empty() {
        main.tag("section", &[("class", &"warnings"), ("aria-label", &"Warnings")], |warnings| {
            warnings.tag("ul", &[], |list| {
                report.warnings.iter().for_each(|warning| list.text_tag("li", &[], capital(warning)));
            });
        });
    }
}

fn headline(report: &Report) -> &'static str {
    match (report.verdict, report.passed) {
        (Verdict::Different, _) => "The two builds differ",
        (Verdict::Identical, true) if !report.failures.is_empty() => "Both builds behave the same, and both crash",
        (Verdict::Identical, true) => "Both builds behave the same",
        (Verdict::Identical, false) => "Same behaviour, but a threshold did not pass",
    }
}

fn thresholds(report: &Report) -> String {
    let passed = report.thresholds.iter().filter(|threshold| threshold.verdict == thresholds::Verdict::Passed).count();
    match report.thresholds.len() {
        0 => String::new(),
        all => format!("; {passed} of {all} thresholds passed"),
    }
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}", characters.as_str())
}

/// The key numbers.
fn tiles(page: &mut Markup, numbers: &Numbers) {
    let interval = |ratio: &Estimate| {
        format::ratio_interval(ratio).map_or_else(|| "no interval".to_owned(), |text| format!("95 % CI {text}"))
    };
    let both = |native: Option<Estimate>, wasm: Option<Estimate>, text: fn(f64) -> String| {
        format!("{} instead of {}", format::or_dash(native, text), format::or_dash(wasm, text))
    };
    let quotient = |native: Option<Estimate>, wasm: Option<Estimate>| native.zip(wasm).and_then(|(a, b)| a.over(b));
    let (traffic, stream, cold) = (&numbers.traffic, &numbers.stream, &numbers.cold_start);
    let (memory, p99) = (&numbers.memory_per_vm_bytes, stream.ratio.p99);
    let (load, compile) = (Some(cold.native_load_ns), Some(cold.wasm_compile_ns));
    let rows = [
        ("Time in the plugin", traffic.ratio.p50, traffic.ratio.p50.as_ref().map_or_else(String::new, interval)),
        ("p99 of a stream", p99, both(stream.native.p99_ns, stream.wasm.p99_ns, format::time)),
        ("Load or compile", quotient(load, compile), both(load, compile, format::time)),
        ("Memory of a VM", quotient(memory.native, memory.wasm), both(memory.native, memory.wasm, format::size)),
    ];
    page.tag("ul", &[("class", &"tiles")], |list| {
        for (what, ratio, detail) in rows {
            list.tag("li", &[], |tile| {
                tile.text_tag("span", &[("class", &"what")], what);
                tile.tag("span", &[("class", &"number")], |number| {
                    number.text(format::or_dash(ratio, format::ratio));
                    number.text_tag("small", &[], "\u{a0}× wasm");
                });
                tile.text_tag("span", &[("class", &"detail")], detail);
            });
        }
    });
}
