//! Ratios of native to wasm with their intervals, and a line at 1.

use super::axis::LogAxis;
use super::{Canvas, label, line, rect};
use crate::ab::measure::statistics::Estimate;
use crate::ab::report::html::format;
use crate::ab::report::html::markup::Markup;

pub struct Ratio<'a> {
    pub name: &'a str,
    pub ratio: Estimate,
    /// Whether this is one of the summary rows.
    pub main: bool,
}

pub fn draw(svg: &mut Markup, canvas: Canvas, rows: &[Ratio<'_>]) -> f64 {
    let (names, values) = if canvas.narrow { (6.0, 6.0) } else { (190.0, 150.0) };
    let (first, step) = if canvas.narrow { (54.0, 46.0) } else { (44.0, 30.0) };
    let axis = LogAxis { at: (names, canvas.width - values), values: span(rows) };
    let bottom = first + step * rows.len() as f64 - step + 20.0;
    let one = axis.place(1.0);
    rect(svg, "faster", (axis.at.0, 22.0), (one - axis.at.0, bottom - 22.0));
    label(svg, "hint", "end", one - 6.0, 14.0, "native faster");
    label(svg, "hint", "start", one + 6.0, 14.0, if canvas.narrow { "slower" } else { "native slower" });
    axis.draw_below(svg, canvas, (22.0, bottom), |ratio| format!("{}", (ratio * 1000.0).round() / 1000.0));
    line(svg, "one", (one, 4.0), (one, bottom));
    for (index, row) in rows.iter().enumerate() {
        let y = first + step * index as f64;
        self::row(svg, canvas, &axis, row, y);
    }
    bottom + 24.0
}

fn row(svg: &mut Markup, canvas: Canvas, axis: &LogAxis, row: &Ratio<'_>, y: f64) {
    let Ratio { name, ratio, main } = row;
    let class = if *main { "name main" } else { "name" };
    let interval = format::ratio_interval(ratio).unwrap_or_default();
    let text = format::ratio(ratio.value);
    if canvas.narrow {
        label(svg, class, "start", 6.0, y - 11.0, name);
        label(svg, "value", "end", canvas.width - 100.0, y - 11.0, text);
        label(svg, "tick", "end", canvas.width - 6.0, y - 11.0, interval);
    } else {
        label(svg, class, "end", 178.0, y + 4.0, name);
        label(svg, "value", "end", canvas.width - 104.0, y + 4.0, text);
        label(svg, "tick", "end", canvas.width - 2.0, y + 4.0, interval);
    }
    let x = axis.place(ratio.value);
    if let (Some(low), Some(high)) = (ratio.low, ratio.high) {
        let (low, high) = (axis.place(low), axis.place(high));
        line(svg, "whisker", (low, y), (high, y));
        line(svg, "whisker", (low, y - 4.0), (low, y + 4.0));
        line(svg, "whisker", (high, y - 4.0), (high, y + 4.0));
    }
    let radius = if *main { 6.0 } else { 4.5 };
    svg.tag("circle", &[("class", &"dot"), ("cx", &x.round()), ("cy", &y), ("r", &radius)], |_| ());
}

/// Range of the axis: all ratios and 1, with a margin.
fn span(rows: &[Ratio<'_>]) -> (f64, f64) {
    let bounds =
        |row: &Ratio<'_>| (row.ratio.low.unwrap_or(row.ratio.value), row.ratio.high.unwrap_or(row.ratio.value));
    let low = rows.iter().map(|row| bounds(row).0).fold(0.5, f64::min);
    let high = rows.iter().map(|row| bounds(row).1).fold(1.6, f64::max);
    (low.max(1e-4) / 1.15, high.min(1e4) * 1.15)
}
