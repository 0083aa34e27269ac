//! Times by callback: distributions, and ratios with their intervals.

use super::latency::{HEAD, table};
use super::{card, legend, numbers};
use crate::ab::report::html::figure::{density, figure, ratios};
use crate::ab::report::html::format;
use crate::ab::report::html::markup::Markup;
use crate::ab::report::numbers::{Numbers, Row};

pub fn write(main: &mut Markup, measured: &Numbers) {
    let rows: Vec<&Row> = measured.callbacks.iter().filter(|row| row.is_measured()).collect();
    if rows.is_empty() {
        return;
    }
    card(main, "Native to wasm, with 95 % intervals", |card| {
        let shown = ratios(measured, &rows);
        let text: Vec<String> =
            shown.iter().map(|row| format!("{} {}", row.name, format::ratio(row.ratio.value))).collect();
        figure(card, &format!("Ratios of native to wasm: {}", text.join(", ")), |svg, canvas| {
            ratios::draw(svg, canvas, &shown)
        });
    });
    card(main, "Callback by callback", |card| {
        legend(card);
        let text: Vec<String> = rows.iter().map(|row| super::latency::text(row)).collect();
        figure(card, &text.join(". "), |svg, canvas| density::many(svg, canvas, &rows, measured.method.timer_step_ns));
        let note = format!(
            "Medians at the right; each row has its own vertical scale. The clock's resolution is {} ns; shorter \
             times are only a hint.",
            measured.method.timer_step_ns
        );
        card.text_tag("p", &[("class", &"soft")], note);
        numbers(card, &HEAD, &table(&rows));
    });
}

fn ratios<'a>(measured: &'a Numbers, rows: &[&'a Row]) -> Vec<ratios::Ratio<'a>> {
    let main = [("whole traffic", measured.traffic.ratio.p50), ("CPU time, plugin’s part", measured.whole.cpu_ratio)];
    let main = main.into_iter().map(|(name, ratio)| (name, ratio, true));
    let callbacks = rows.iter().map(|row| (format::callback(&row.name), row.ratio.p50, false));
    let all = main.chain(callbacks);
    all.filter_map(|(name, ratio, main)| Some(ratios::Ratio { name, ratio: ratio?, main })).collect()
}
