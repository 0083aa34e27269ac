//! Axes, mostly logarithmic: times span several orders of magnitude, and their ratios matter.

use super::{Canvas, label, line};
use crate::ab::report::html::markup::Markup;

/// A logarithmic axis.
#[derive(Clone, Copy)]
pub struct LogAxis {
    /// Start and end on the canvas.
    pub at: (f64, f64),
    /// Minimum and maximum value.
    pub values: (f64, f64),
}

impl LogAxis {
    /// Position of a value, clamped to the axis.
    pub fn place(&self, value: f64) -> f64 {
        let (low, high) = (self.values.0.ln(), self.values.1.ln());
        let share = (value.max(f64::MIN_POSITIVE).ln() - low) / (high - low).max(f64::MIN_POSITIVE);
        self.at.0 + share.clamp(0.0, 1.0) * (self.at.1 - self.at.0)
    }

    /// Tick values at least `gap` apart on the canvas: decades, and round numbers between them where they fit.
    pub fn ticks(&self, gap: f64) -> Vec<f64> {
        let mut best = Vec::new();
        for steps in [&[1.0][..], &[1.0, 3.0], &[1.0, 2.0, 5.0], &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0]] {
            let ticks = self.multiples(steps);
            let close = |pair: &[f64]| (self.place(pair[1]) - self.place(pair[0])).abs() < gap;
            if !ticks.windows(2).any(close) && ticks.len() > best.len() {
                best = ticks;
            }
        }
        best
    }

    fn multiples(&self, steps: &[f64]) -> Vec<f64> {
        let (low, high) = self.values;
        let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
        let ticks = decades.flat_map(|decade| steps.iter().map(move |step| times_decade(*step, decade)));
        ticks.filter(|tick| *tick >= low * 0.999 && *tick <= high * 1.001).collect()
    }

    /// Draws the axis along the bottom, with grid lines.
    pub fn draw_below(&self, svg: &mut Markup, canvas: Canvas, (top, bottom): (f64, f64), text: fn(f64) -> String) {
        let gap = if canvas.narrow { 58.0 } else { 64.0 };
        line(svg, "axis", (self.at.0, bottom), (self.at.1, bottom));
        for tick in self.ticks(gap) {
            let x = self.place(tick);
            line(svg, "grid", (x, top), (x, bottom));
            // The last label must stay within the canvas.
            label(svg, "tick", "middle", x.min(canvas.width - 22.0), bottom + 16.0, text(tick));
        }
    }
}

/// `step * 10^decade`. Divides for negative decades: 7 / 10 is closer to 0.7 than 7 * 0.1.
fn times_decade(step: f64, decade: i32) -> f64 {
    if decade < 0 { step / 10f64.powi(-decade) } else { step * 10f64.powi(decade) }
}

/// A time on an axis: a round number and its unit.
pub fn round_time(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns < 999.0 => (ns, "ns"),
        ns if ns < 999e3 => (ns / 1e3, "µs"),
        ns if ns < 999e6 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    format!("{}\u{a0}{unit}", (value * 100.0).round() / 100.0)
}

/// The end of a linear axis and its step (1, 2, 5 or 10 times a power of ten), for at most `count` steps.
pub fn linear_steps(most: f64, count: f64) -> (f64, f64) {
    let rough = (most / count).max(f64::MIN_POSITIVE);
    let decade = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * decade).find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(rough);
    ((most / step).ceil().max(1.0) * step, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_places_and_ticks_room() {
        let axis = LogAxis { at: (100.0, 500.0), values: (10.0, 1e5) };
        assert_eq!((axis.place(10.0), axis.place(1e5), axis.place(1e3).round()), (100.0, 500.0, 300.0));
        assert_eq!((axis.place(0.0), axis.place(1e9)), (100.0, 500.0), "within the axis");
        assert_eq!(axis.ticks(60.0), [10.0, 100.0, 1e3, 1e4, 1e5]);
        let short = LogAxis { at: (0.0, 400.0), values: (150.0, 2500.0) };
        assert_eq!(short.ticks(60.0), [200.0, 500.0, 1000.0, 2000.0]);
        let shorter = LogAxis { at: (0.0, 400.0), values: (0.45, 1.7) };
        assert_eq!(shorter.ticks(30.0), [0.5, 0.7, 1.0, 1.5]);
    }

    #[test]
    fn linear_axes_end_at_round_numbers() {
        assert_eq!(linear_steps(873.0, 5.0), (1000.0, 200.0));
        assert_eq!(linear_steps(100.0, 5.0), (100.0, 20.0));
        assert_eq!(round_time(2_000.0), "2\u{a0}µs");
        assert_eq!(round_time(1e6), "1\u{a0}ms");
    }
}
