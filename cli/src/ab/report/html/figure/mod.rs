//! Figures as SVG. Text in an SVG scales with it, so each figure is drawn for wide and for narrow
//! screens, and the style sheet shows the one that fits.

pub mod axis;
pub mod bars;
pub mod density;
pub mod growth;
pub mod ratios;

use super::markup::Markup;

/// The drawing area of a figure.
#[derive(Clone, Copy)]
pub struct Canvas {
    pub width: f64,
    /// A phone's screen: labels go above the rows.
    pub narrow: bool,
}

const WIDE: Canvas = Canvas { width: 960.0, narrow: false };
const HALF: Canvas = Canvas { width: 460.0, narrow: false };
const NARROW: Canvas = Canvas { width: 330.0, narrow: true };

/// Draws a figure over the full width of the page. `draw` returns its height; `text` is the alternative text.
pub fn figure(page: &mut Markup, text: &str, draw: impl Fn(&mut Markup, Canvas) -> f64) {
    for (class, canvas) in [("wide", WIDE), ("narrow", NARROW)] {
        svg(page, class, canvas, text, &draw);
    }
}

/// Draws a figure over half of the width.
pub fn half_figure(page: &mut Markup, text: &str, draw: impl Fn(&mut Markup, Canvas) -> f64) {
    for (class, canvas) in [("wide", HALF), ("narrow", NARROW)] {
        svg(page, class, canvas, text, &draw);
    }
}

fn svg(page: &mut Markup, class: &str, canvas: Canvas, text: &str, draw: &impl Fn(&mut Markup, Canvas) -> f64) {
    // The height is known only after drawing.
    let mut inside = Markup::default();
    let height = draw(&mut inside, canvas);
    let width = canvas.width;
    page.tag(
        "svg",
        &[("class", &class), ("viewBox", &format!("0 0 {width} {height:.0}")), ("role", &"img"), ("aria-label", &text)],
        |svg| svg.append(inside),
    );
}

/// Draws text.
pub fn label(svg: &mut Markup, class: &str, anchor: &str, x: f64, y: f64, text: impl std::fmt::Display) {
    svg.text_tag("text", &[("class", &class), ("text-anchor", &anchor), ("x", &tenth(x)), ("y", &tenth(y))], text);
}

/// Draws a straight line.
pub fn line(svg: &mut Markup, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let (x1, y1, x2, y2) = (tenth(x1), tenth(y1), tenth(x2), tenth(y2));
    svg.tag("line", &[("class", &class), ("x1", &x1), ("y1", &y1), ("x2", &x2), ("y2", &y2)], |_| ());
}

pub fn path(svg: &mut Markup, class: &str, points: &[(f64, f64)], closed: bool) {
    let mut data = String::new();
    for (index, (x, y)) in points.iter().enumerate() {
        data += &format!("{}{},{} ", if index == 0 { 'M' } else { 'L' }, tenth(*x), tenth(*y));
    }
    data += if closed { "Z" } else { "" };
    svg.tag("path", &[("class", &class), ("d", &data.trim_end())], |_| ());
}

pub fn rect(svg: &mut Markup, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
    let (x, y, width, height) = (tenth(x), tenth(y), tenth(width), tenth(height));
    svg.tag("rect", &[("class", &class), ("x", &x), ("y", &y), ("width", &width), ("height", &height)], |_| ());
}

/// The mark of a build: a disc for native, a square for wasm, so that they differ without color.
pub fn mark(svg: &mut Markup, class: &str, (x, y): (f64, f64)) {
    const RADIUS: f64 = 4.5;
    if class == "native" {
        svg.tag("circle", &[("class", &"mark native"), ("cx", &tenth(x)), ("cy", &tenth(y)), ("r", &RADIUS)], |_| ());
    } else {
        rect(
            svg,
            &format!("mark {class}"),
            (x - RADIUS + 0.5, y - RADIUS + 0.5),
            (2.0 * RADIUS - 1.0, 2.0 * RADIUS - 1.0),
        );
    }
}

/// One decimal is enough for coordinates.
fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
