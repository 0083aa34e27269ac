//! Distribution of the time per stream.

use super::{card, legend, numbers};
use crate::ab::report::html::figure::{density, figure};
use crate::ab::report::html::format;
use crate::ab::report::html::markup::Markup;
use crate::ab::report::numbers::{Distribution, Numbers, Row};

pub fn write(main: &mut Markup, measured: &Numbers) {
    let stream = &measured.stream;
    if !stream.is_measured() {
        return;
    }
    card(main, "A stream’s time in the plugin", |card| {
        legend(card);
        figure(card, &text(stream), |svg, canvas| density::single(svg, canvas, stream, measured.method.timer_step_ns));
        card.text_tag("p", &[("class", &"soft")], note(stream));
        let rows: Vec<&Row> = [&measured.traffic, stream].into_iter().chain(&measured.steps).collect();
        numbers(card, &HEAD, &table(&rows));
    });
}

fn note(stream: &Row) -> String {
    format!(
        "All callbacks of a stream, {} streams of each build; the axis is logarithmic. \
             The slowest took {} natively, {} in wasm.",
        format::count(stream.native.count as f64),
        format::time(stream.native.max_ns as f64),
        format::time(stream.wasm.max_ns as f64)
    )
}

/// Alternative text of a distribution.
pub fn text(row: &Row) -> String {
    let side = |of: &Distribution| {
        format!("{} median, {} p99", format::or_dash(of.p50_ns, format::time), format::or_dash(of.p99_ns, format::time))
    };
    format!("Distribution of the time of {}: native {}; wasm {}", row.name, side(&row.native), side(&row.wasm))
}

pub const HEAD: [&str; 9] =
    ["", "native p50", "p90", "p99", "wasm p50", "p90", "p99", "native / wasm (p50)", "95 % interval"];

/// Table rows for [`HEAD`].
pub fn table(rows: &[&Row]) -> Vec<Vec<String>> {
    let side = |of: &Distribution| [of.p50_ns, of.p90_ns, of.p99_ns].map(|time| format::or_dash(time, format::time));
    let row = |row: &&Row| {
        let mut cells = vec![format::callback(&row.name).to_owned()];
        cells.extend(side(&row.native));
        cells.extend(side(&row.wasm));
        cells.push(format::or_dash(row.ratio.p50, format::ratio));
        cells.push(row.ratio.p50.and_then(|ratio| format::ratio_interval(&ratio)).unwrap_or_default());
        cells
    };
    rows.iter().map(row).collect()
}
