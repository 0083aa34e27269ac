//! Time of a request by size, native and wasm.

use super::axis::{LogAxis, linear_steps, round_time};
use super::{Canvas, label, line, mark, path};
use crate::ab::measure::statistics::Estimate;
use crate::ab::report::html::markup::Markup;
use crate::ab::report::numbers::PointNumbers;

const LEFT: f64 = 62.0;
const RIGHT: f64 = 62.0;
const TOP: f64 = 14.0;
const HEIGHT: f64 = 200.0;
const BOTTOM: f64 = TOP + HEIGHT;

/// Linear axes from zero: a proportional cost is a straight line.
pub fn linear(svg: &mut Markup, canvas: Canvas, points: &[PointNumbers], unit: &str) -> f64 {
    let largest = points.iter().map(|point| point.size).max().unwrap_or(1) as f64;
    let slowest = estimates(points).map(|time| time.high.unwrap_or(time.value)).fold(1.0, f64::max);
    let (most, step) = linear_steps(slowest, 5.0);
    let right = canvas.width - RIGHT;
    let x = |size: usize| LEFT + size as f64 / largest * (right - LEFT);
    let y = |ns: f64| BOTTOM - ns / most * HEIGHT;
    for index in 0..=(most / step).round() as usize {
        let ns = step * index as f64;
        line(svg, "grid", (LEFT, y(ns)), (right, y(ns)));
        label(svg, "tick", "end", LEFT - 8.0, y(ns) + 4.0, round_time(ns));
    }
    plot(svg, points, &x, &y);
    for point in points {
        label(svg, "tick", "middle", x(point.size), BOTTOM + 18.0, point.size);
    }
    label(svg, "hint", "middle", f64::midpoint(LEFT, right), BOTTOM + 38.0, unit);
    BOTTOM + 46.0
}

/// Sizes at equal distances, over a logarithmic axis of time.
pub fn stepped(svg: &mut Markup, canvas: Canvas, points: &[PointNumbers], unit: &str) -> f64 {
    let right = canvas.width - RIGHT;
    let place = |index: usize| LEFT + 10.0 + index as f64 * (right - LEFT - 10.0) / (points.len().max(2) - 1) as f64;
    let index_of = |size: usize| points.iter().position(|point| point.size == size).unwrap_or(0);
    let low = estimates(points).map(|time| time.low.unwrap_or(time.value)).fold(f64::INFINITY, f64::min);
    let high = estimates(points).map(|time| time.high.unwrap_or(time.value)).fold(1.0, f64::max);
    let low = if low.is_finite() { low.max(1.0) } else { 1.0 };
    let axis = LogAxis { at: (BOTTOM, TOP), values: (low / 1.5, (high * 1.5).max(low * 8.0)) };
    for tick in axis.ticks(26.0) {
        let y = axis.place(tick);
        line(svg, "grid", (LEFT, y), (right, y));
        label(svg, "tick", "end", LEFT - 8.0, y + 4.0, round_time(tick));
    }
    plot(svg, points, &|size| place(index_of(size)), &|ns| axis.place(ns));
    for (index, point) in points.iter().enumerate() {
        label(svg, "tick", "middle", place(index), BOTTOM + 18.0, short_size(point.size));
    }
    label(svg, "hint", "middle", f64::midpoint(LEFT, right), BOTTOM + 38.0, unit);
    BOTTOM + 46.0
}

fn estimates(points: &[PointNumbers]) -> impl Iterator<Item = Estimate> + '_ {
    points.iter().flat_map(|point| [point.native_p50_ns, point.wasm_p50_ns]).flatten()
}

fn plot(svg: &mut Markup, points: &[PointNumbers], x: &dyn Fn(usize) -> f64, y: &dyn Fn(f64) -> f64) {
    line(svg, "axis", (LEFT, BOTTOM), (x(points.last().map_or(0, |point| point.size)), BOTTOM));
    let of = |side: usize, point: &PointNumbers| [point.native_p50_ns, point.wasm_p50_ns][side];
    let ends = [0, 1].map(|side| points.iter().rev().find_map(|point| Some((point.size, of(side, point)?.value))));
    for (side, class) in [(1, "wasm"), (0, "native")] {
        let measured = points.iter().filter_map(|point| Some((point.size, of(side, point)?)));
        let places: Vec<(f64, f64)> = measured.clone().map(|(size, time)| (x(size), y(time.value))).collect();
        path(svg, &format!("series {class}"), &places, false);
        for (size, time) in measured {
            if let (Some(low), Some(high)) = (time.low, time.high) {
                line(svg, &format!("whisker {class}"), (x(size), y(low)), (x(size), y(high)));
            }
            mark(svg, class, (x(size), y(time.value)));
        }
    }
    // Labels at the ends of the lines, spread apart where the ends are close.
    let mut heights = ends.map(|end| end.map_or(BOTTOM, |(_, value)| y(value)));
    let (upper, lower) = if heights[0] <= heights[1] { (0, 1) } else { (1, 0) };
    let missing = 15.0 - (heights[lower] - heights[upper]);
    if missing > 0.0 {
        heights[upper] -= missing / 2.0;
        heights[lower] += missing / 2.0;
    }
    for (side, class) in [(0, "native"), (1, "wasm")] {
        if let Some((size, _)) = ends[side] {
            label(svg, &format!("value {class}"), "start", x(size) + 10.0, heights[side] + 4.0, class);
        }
    }
}

fn short_size(bytes: usize) -> String {
    match bytes {
        0..1024 => bytes.to_string(),
        1024..1_048_576 => format!("{}K", bytes >> 10),
        _ => format!("{}M", bytes >> 20),
    }
}
