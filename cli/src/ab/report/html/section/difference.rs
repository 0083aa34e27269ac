//! The first difference, as the comparison gives it.

use super::card;
use crate::ab::compare::Difference;
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
        }
        for (name, build) in report.builds() {
            if let Some(failure) = &build.failure {
                card.text_tag("p", &[], format!("The {name} VM failed:"));
                card.text_tag("pre", &[], failure);
            }
        }
    });
}

/// Both traces around it, a row for each line.
fn traces(card: &mut Markup, difference: &Difference) {
    card.tag("table", &[], |table| {
        table.tag("tr", &[], |row| {
            for name in ["", "native", "wasm"] {
                row.text_tag("th", &[], name);
            }
        });
        for line in &difference.trace {
            table.tag("tr", &[], |row| {
                row.text_tag("td", &[], if line.same { "" } else { "\u{2260}" });
                for text in [&line.native, &line.wasm] {
                    row.tag("td", &[], |cell| cell.text_tag("code", &[], text.as_deref().unwrap_or_default()));
                }
            });
        }
    });
}
