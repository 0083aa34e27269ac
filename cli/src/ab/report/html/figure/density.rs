//! Distributions of times: curves of native and wasm over one logarithmic axis.

use super::axis::{LogAxis, round_time};
use super::{Canvas, label, line, path};
use crate::ab::report::html::format;
use crate::ab::report::html::markup::Markup;
use crate::ab::report::numbers::{BUCKETS_PER_DECADE, Distribution, Row};

/// A single large row.
pub fn single(svg: &mut Markup, canvas: Canvas, row: &Row, step: f64) -> f64 {
    let (top, height) = (44.0, if canvas.narrow { 130.0 } else { 190.0 });
    let axis = LogAxis { at: (8.0, canvas.width - 8.0), values: span([row].into_iter()) };
    let base = top + height;
    axis.draw_below(svg, canvas, (top, base), round_time);
    curves(svg, &axis, row, step, (base, height));
    for (class, name, of, y) in [("native", "native", &row.native, 16.0), ("wasm", "wasm", &row.wasm, 34.0)] {
        let Some(p50) = of.p50_ns else { continue };
        let x = axis.place(p50.value);
        line(svg, &format!("median {class}"), (x, y + 5.0), (x, base));
        let text = format!("{name} {}", format::time(p50.value));
        let half = 4.2 * text.chars().count() as f64;
        label(svg, &format!("value {class}"), "middle", x.clamp(half, canvas.width - half), y, text);
    }
    base + 24.0
}

/// Several rows over one axis.
pub fn many(svg: &mut Markup, canvas: Canvas, rows: &[&Row], step: f64) -> f64 {
    let (names, values) = if canvas.narrow { (4.0, 4.0) } else { (190.0, 150.0) };
    let (above, height) = if canvas.narrow { (34.0, 34.0) } else { (10.0, 40.0) };
    let axis = LogAxis { at: (names, canvas.width - values), values: span(rows.iter().copied()) };
    let bottom = (above + height) * rows.len() as f64 + 6.0;
    axis.draw_below(svg, canvas, (0.0, bottom), round_time);
    for (index, row) in rows.iter().enumerate() {
        let base = (above + height) * (index + 1) as f64;
        line(svg, "grid", (axis.at.0, base), (axis.at.1, base));
        curves(svg, &axis, row, step, (base, height));
        for (class, of) in [("native", &row.native), ("wasm", &row.wasm)] {
            if let Some(p50) = of.p50_ns {
                let x = axis.place(p50.value);
                line(svg, &format!("median {class}"), (x, base - height), (x, base));
            }
        }
        captions(svg, canvas, row, base, height);
    }
    bottom + 24.0
}

/// The name of a row and its medians: beside the row, or above it on narrow screens.
fn captions(svg: &mut Markup, canvas: Canvas, row: &Row, base: f64, height: f64) {
    let name = format::callback(&row.name);
    let [native, wasm] = [row.native.p50_ns, row.wasm.p50_ns].map(|p50| format::or_dash(p50, format::time));
    if canvas.narrow {
        let y = base - height - 12.0;
        label(svg, "name", "start", 4.0, y, name);
        label(svg, "value native", "end", canvas.width - 84.0, y, native);
        label(svg, "value wasm", "end", canvas.width - 4.0, y, wasm);
    } else {
        let y = base - 12.0;
        label(svg, "name", "end", 178.0, y, name);
        label(svg, "value native", "end", canvas.width - 76.0, y, native);
        label(svg, "value wasm", "end", canvas.width - 4.0, y, wasm);
    }
}

/// Both curves of a row, on one scale.
fn curves(svg: &mut Markup, axis: &LogAxis, row: &Row, step: f64, (base, height): (f64, f64)) {
    let curves =
        [("wasm", &row.wasm), ("native", &row.native)].map(|(class, of)| (class, curve(of, step, axis.values)));
    let highest = curves.iter().flat_map(|(_, curve)| curve.iter().map(|(_, y)| *y)).fold(0.0, f64::max);
    if highest <= 0.0 {
        return;
    }
    for (class, curve) in curves {
        // No line where the density is close to zero.
        let seen =
            |(value, y): &&(f64, f64)| *value >= axis.values.0 && *value <= axis.values.1 && *y > highest * 0.004;
        let (first, last) = (curve.iter().position(|at| seen(&at)), curve.iter().rposition(|at| seen(&at)));
        let inside = first.zip(last).map_or(&[][..], |(first, last)| &curve[first..=last]);
        let mut points: Vec<(f64, f64)> =
            inside.iter().map(|(value, y)| (axis.place(*value), base - y / highest * height * 0.96)).collect();
        let (Some(first), Some(last)) = (points.first().copied(), points.last().copied()) else { continue };
        points.insert(0, (first.0, base));
        points.push((last.0, base));
        path(svg, &format!("area {class}"), &points, true);
        path(svg, &format!("curve {class}"), &points, false);
    }
}

/// Points per curve.
const POINTS: usize = 260;

/// Density of times along the axis, on a scale shared by native and wasm: each bucket is spread as
/// a bell, wider where the clock's steps are coarser than the buckets.
fn curve(of: &Distribution, step: f64, (from, to): (f64, f64)) -> Vec<(f64, f64)> {
    let per_decade = f64::from(BUCKETS_PER_DECADE);
    // Center, width and weight of each bell, in decades.
    let bell = |(value, count): &(f64, u64)| {
        let center = value.log10() + 0.5 / per_decade;
        let width = (1.0 + 0.6 * step / value).log10().clamp(1.0 / per_decade, 0.2);
        (center, width, *count as f64 / of.count.max(1) as f64 / width)
    };
    let bells: Vec<(f64, f64, f64)> = of.buckets.iter().map(bell).collect();
    let density = |place: f64| -> f64 {
        let near = bells.iter().filter(|(center, width, _)| (place - center).abs() < 4.0 * width);
        near.map(|(center, width, weight)| weight * (-0.5 * ((place - center) / width).powi(2)).exp()).sum()
    };
    let (from, to) = (from.log10(), to.log10());
    (0..POINTS)
        .map(|index| {
            let place = from + (to - from) * index as f64 / (POINTS - 1) as f64;
            (10f64.powf(place), density(place))
        })
        .collect()
}

/// Range of an axis: nearly all times, with a margin. The rare slow ones would squeeze the rest.
fn span<'a>(rows: impl Iterator<Item = &'a Row>) -> (f64, f64) {
    let mut span = (f64::INFINITY, 0.0f64);
    for of in rows.flat_map(|row| [&row.native, &row.wasm]) {
        let mut below = 0;
        for (value, count) in &of.buckets {
            let before = below as f64 / of.count.max(1) as f64;
            below += count;
            let until = below as f64 / of.count.max(1) as f64;
            if until > 0.001 && before < 0.995 {
                span = (span.0.min(*value), span.1.max(*value));
            }
        }
    }
    if span.1 <= 0.0 {
        return (1.0, 10.0);
    }
    let (low, high) = (span.0 / 1.35, span.1 * 1.45);
    // At least a factor of four; a shorter axis would have no ticks.
    if high / low < 4.0 { (low / 1.5, high * 1.5) } else { (low, high) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(buckets: Vec<(f64, u64)>) -> Distribution {
        let count = buckets.iter().map(|(_, count)| count).sum();
        let [p50_ns, p90_ns, p99_ns, mean_ns] = [None; 4];
        Distribution { count, min_ns: 0, p50_ns, p90_ns, p99_ns, mean_ns, max_ns: 0, buckets }
    }

    #[test]
    fn a_curve_peaks_where_most_are_and_is_flat_where_none_are() {
        let of = distribution(vec![(1000.0, 10), (1059.25, 80), (2000.0, 10)]);
        let curve = curve(&of, 1.0, (100.0, 10_000.0));
        let peak = curve.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        assert!((1000.0..1150.0).contains(&peak.0), "{peak:?}");
        assert_eq!((curve[0], curve[POINTS - 1].1), ((100.0, 0.0), 0.0));
        // A coarse clock spreads one value into a wide bell.
        let wide = |step| super::curve(&distribution(vec![(10.0, 1)]), step, (1.0, 100.0));
        let above = |curve: Vec<(f64, f64)>| curve.iter().filter(|(_, y)| *y > 0.0).count();
        assert!(above(wide(10.0)) > 3 * above(wide(0.1)));
        assert!(super::curve(&distribution(Vec::new()), 1.0, (1.0, 10.0)).iter().all(|(_, y)| *y == 0.0));
    }

    #[test]
    fn rare_slow_times_do_not_stretch_the_axis() {
        let row = |buckets| Row {
            name: String::new(),
            native: distribution(buckets),
            wasm: distribution(vec![(1000.0, 1000)]),
            ratio: crate::ab::report::numbers::Ratios { p50: None, p90: None, p99: None, mean: None },
        };
        let (low, high) = span([&row(vec![(500.0, 10_000), (1e9, 3)])].into_iter());
        assert!(low < 500.0 && low > 100.0 && high > 1000.0 && high < 3000.0, "{low} {high}");
        assert_eq!(span([].into_iter()), (1.0, 10.0));
    }
}
