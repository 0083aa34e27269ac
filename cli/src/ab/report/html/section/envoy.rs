//! The same traffic through Envoy.

use super::{card, table};
use crate::ab::report::envoy::{self, HEAD};
use crate::ab::report::html::markup::Markup;
use crate::envoy::trial::EnvoyReport;

pub fn write(main: &mut Markup, report: &EnvoyReport) {
    card(main, "In Envoy", |card| {
        card.text_tag("p", &[], format!("Envoy {}: {}.", report.version, envoy::verdict(report)));
        let differences = report.differences.iter().map(|found| {
            vec![
                format!("{}, {}", found.setup.title(), found.step),
                found.aspect.clone(),
                found.value.clone(),
                found.v8.clone(),
            ]
        });
        if !report.differences.is_empty() {
            table(card, &["", "differs in", "here", "in V8"], &differences.collect::<Vec<_>>());
        }
        if !report.setups.is_empty() {
            table(card, &HEAD, &envoy::rows(report).into_iter().map(Vec::from).collect::<Vec<_>>());
        }
        for note in envoy::notes(report) {
            card.text_tag("p", &[("class", &"soft")], note);
        }
        let method = "CPU time of the worker thread; all Envoys run side by side and take turns in short bursts. \
                      \u{201c}Over no filter\u{201d} is the median of the differences within a round.";
        card.text_tag("p", &[("class", &"soft")], method);
    });
}
