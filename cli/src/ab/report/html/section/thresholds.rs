//! Thresholds with their decisions and measured values.

use super::card;
use crate::ab::report::Report;
use crate::ab::report::html::format;
use crate::ab::report::html::markup::Markup;
use crate::ab::thresholds::{Decision, Value, Verdict};

pub fn write(main: &mut Markup, report: &Report) {
    if report.thresholds.is_empty() {
        return;
    }
    card(main, "Thresholds", |card| {
        card.tag("ul", &[("class", &"thresholds")], |list| {
            report.thresholds.iter().for_each(|decision| threshold(list, decision))
        });
    });
}

fn threshold(list: &mut Markup, decision: &Decision) {
    let (class, sign, word) = match decision.verdict {
        Verdict::Passed => ("good", "✓", "passed"),
        Verdict::Failed => ("bad", "✗", "failed"),
        Verdict::Undecided => ("bad", "?", "undecided"),
    };
    list.tag("li", &[("class", &class)], |item| {
        item.tag("span", &[("class", &"badge")], |badge| badge.text(format!("{sign} {word}")));
        item.tag("div", &[], |body| {
            body.tag("p", &[], |p| {
                p.text("fail if ");
                p.text_tag("code", &[], &decision.fail_if);
            });
            if let Some(measured) = &decision.value {
                body.text_tag("p", &[("class", &"soft")], value(measured));
            }
            let class = if decision.verdict == Verdict::Undecided { "reason soft" } else { "soft" };
            body.text_tag("p", &[("class", &class)], &decision.reason);
        });
    });
}

fn value(value: &Value) -> String {
    let text = match value.unit {
        "ns" => format::time,
        "bytes" => format::size,
        _ => format::ratio,
    };
    let bounds = value.low.zip(value.high);
    let bounds = bounds.map_or_else(String::new, |(low, high)| format!(" ({}\u{a0}– {})", text(low), text(high)));
    format!("{} = {}{bounds}", value.name, text(value.value))
}
