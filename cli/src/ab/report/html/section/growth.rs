//! Cost of a request by size.

use super::{card, legend, numbers};
use crate::ab::report::html::figure::{growth, half_figure};
use crate::ab::report::html::format;
use crate::ab::report::html::markup::Markup;
use crate::ab::report::numbers::{GrowthNumbers, LineNumbers, Numbers, PointNumbers};

pub fn write(main: &mut Markup, measured: &Numbers) {
    let Some(sweep) = &measured.sweep else {
        if let Some(reason) = &measured.sweep_unavailable {
            card(main, "Cost by request size", |card| card.text_tag("p", &[], format!("Not measured: {reason}.")));
        }
        return;
    };
    card(main, "Cost by request size", |card| {
        card.tag("p", &[("class", &"soft")], |p| {
            p.text("The request ");
            p.text_tag("code", &[], &sweep.request);
            p.text(", with added headers and with a replaced body.");
        });
        legend(card);
        card.tag("div", &[("class", &"two")], |two| {
            two.tag("figure", &[], |figure| {
                figure.text_tag("figcaption", &[], format!("Headers: {}", slopes(&sweep.headers, "header")));
                half_figure(figure, &text("headers", &sweep.headers), |svg, canvas| {
                    growth::linear(svg, canvas, &sweep.headers.points, "headers")
                });
            });
            two.tag("figure", &[], |figure| {
                figure.text_tag("figcaption", &[], format!("Body: {}", slopes(&sweep.body, "KiB")));
                half_figure(figure, &text("bytes of body", &sweep.body), |svg, canvas| {
                    growth::stepped(svg, canvas, &sweep.body.points, "bytes of body, both axes logarithmic")
                });
            });
        });
        let head = ["", "native", "wasm", "native / wasm", "95 % interval", "results"];
        let mut rows = table(&sweep.headers, |size| format!("{size} headers"));
        rows.extend(table(&sweep.body, |size| format!("{} of body", format::size(size as f64))));
        numbers(card, &head, &rows);
    });
}

fn slopes(growth: &GrowthNumbers, unit: &str) -> String {
    let slope =
        |line: Option<LineNumbers>| line.map_or_else(|| "–".to_owned(), |line| format::time(line.per_unit_ns.max(0.0)));
    format!("{} more for each {unit} natively, {} in wasm", slope(growth.line.native), slope(growth.line.wasm))
}

fn text(unit: &str, growth: &GrowthNumbers) -> String {
    let point = |point: &PointNumbers| {
        format!(
            "{} {unit}: native {}, wasm {}",
            point.size,
            format::or_dash(point.native_p50_ns, format::time),
            format::or_dash(point.wasm_p50_ns, format::time)
        )
    };
    format!("Time of a stream. {}", growth.points.iter().map(point).collect::<Vec<_>>().join("; "))
}

fn table(growth: &GrowthNumbers, name: impl Fn(usize) -> String) -> Vec<Vec<String>> {
    let row = |point: &PointNumbers| {
        vec![
            name(point.size),
            format::or_dash(point.native_p50_ns, format::time),
            format::or_dash(point.wasm_p50_ns, format::time),
            format::or_dash(point.ratio, format::ratio),
            point.ratio.and_then(|ratio| format::ratio_interval(&ratio)).unwrap_or_default(),
            point.difference.clone().unwrap_or_else(|| "the same".to_owned()),
        ]
    };
    growth.points.iter().map(row).collect()
}
