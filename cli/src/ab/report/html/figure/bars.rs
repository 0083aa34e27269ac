//! Horizontal bars of several parts on a common scale.

use super::{Canvas, label, line, rect};
use crate::ab::report::html::markup::Markup;

pub struct Bar<'a> {
    pub name: &'a str,
    /// `native` or `wasm`.
    pub class: &'static str,
    /// Sizes and labels of the parts.
    pub parts: Vec<(f64, &'static str)>,
    /// Label at the end of the bar.
    pub total: String,
}

pub fn draw(svg: &mut Markup, canvas: Canvas, bars: &[Bar<'_>]) -> f64 {
    const THICK: f64 = 24.0;
    let (names, step) = if canvas.narrow { (0.0, 56.0) } else { (150.0, 40.0) };
    let first = if canvas.narrow { 24.0 } else { 6.0 };
    // Room for the label of the longest bar.
    let room = canvas.width - names - 96.0;
    let longest = bars.iter().map(length).fold(f64::MIN_POSITIVE, f64::max);
    for (index, bar) in bars.iter().enumerate() {
        let y = first + step * index as f64;
        if canvas.narrow {
            label(svg, "name", "start", 0.0, y - 7.0, bar.name);
        } else {
            label(svg, "name", "end", names - 12.0, y + 16.0, bar.name);
        }
        let mut x = names;
        for (part, (size, what)) in bar.parts.iter().enumerate() {
            let width = (size / longest * room).max(1.0);
            rect(svg, &format!("bar part{part} {}", bar.class), (x, y), (width, THICK));
            if width > 7.5 * what.chars().count() as f64 + 10.0 {
                label(svg, "inside", "start", x + 7.0, y + 16.5, what);
            }
            x += width;
        }
        label(svg, &format!("value {}", bar.class), "start", x + 8.0, y + 16.5, &bar.total);
    }
    let bottom = first + step * bars.len() as f64 - step + THICK + 6.0;
    line(svg, "axis", (names, first - 6.0), (names, bottom));
    bottom + 4.0
}

fn length(bar: &Bar<'_>) -> f64 {
    bar.parts.iter().map(|(size, _)| size).sum()
}
