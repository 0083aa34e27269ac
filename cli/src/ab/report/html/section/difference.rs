//! The first difference, or the failures.

use super::card;
use crate::ab::compare::{Difference, Minimal};
use crate::ab::report::Report;
use crate::ab::report::html::markup::Markup;

pub fn write(main: &mut Markup, report: &Report) {
    let failed = report.builds().into_iter().any(|(_, build)| build.failure.is_some());
    if report.difference.is_none() && !failed {
        return;
    }
    card(main, if report.difference.is_some() { "The first difference" } else { "Failures" }, |card| {
        if let Some(difference) = &report.difference {
            card.tag("p", &[], |p| {
                p.text("In ");
                p.text_tag("strong", &[], &difference.step);
                p.text(format!(": {}", difference.aspect));
            });
            card.tag("div", &[("class", &"versus")], |versus| {
                for (name, text) in [("native", &difference.native), ("wasm", &difference.wasm)] {
                    versus.tag("figure", &[("class", &name)], |figure| {
                        figure.text_tag("figcaption", &[], name);
                        figure.text_tag("pre", &[], text);
                    });
                }
            });
            traces(card, difference);
            for sentence in &difference.explanation.says {
                card.text_tag("p", &[], sentence);
            }
            minimal(card, &difference.scenario);
        }
        for (name, build) in report.builds() {
            if let Some(failure) = &build.failure {
                card.text_tag("p", &[], format!("The {name} VM failed:"));
                card.text_tag("pre", &[], failure);
            }
        }
    });
}

/// Both traces around the difference, one row per line; common lines span both columns.
fn traces(card: &mut Markup, difference: &Difference) {
    if difference.trace.is_empty() {
        return;
    }
    card.text_tag("h3", &[], "Calls between plugin and host");
    card.tag("table", &[("class", &"trace")], |table| {
        table.tag("thead", &[], |thead| {
            thead.tag("tr", &[], |row| {
                row.text_tag("th", &[("scope", &"col"), ("class", &"native")], "native");
                row.text_tag("th", &[("scope", &"col"), ("class", &"wasm")], "wasm");
            });
        });
        table.tag("tbody", &[], |tbody| {
            for line in &difference.trace {
                if line.same {
                    let text = line.native.as_deref().unwrap_or_default();
                    tbody.tag("tr", &[], |row| row.text_tag("td", &[("colspan", &2)], text));
                } else {
                    tbody.tag("tr", &[("class", &"differs")], |row| {
                        for (class, text) in [("native", &line.native), ("wasm", &line.wasm)] {
                            row.text_tag("td", &[("class", &class)], text.as_deref().unwrap_or("(nothing)"));
                        }
                    });
                }
            }
        });
    });
}

/// The minimal reproducer.
fn minimal(card: &mut Markup, minimal: &Minimal) {
    let steps = if minimal.steps == 1 { "one step".to_owned() } else { format!("{} steps", minimal.steps) };
    card.tag("p", &[("class", &"soft")], |p| {
        p.text(format!("A scenario of {steps} shows it in {} of 10 runs", minimal.shows_in_ten));
        if let Some(file) = &minimal.file {
            p.text(": ");
            p.text_tag("code", &[], file.display());
        }
        p.text(".");
    });
}
