//! CPU cost per stream, including the host.

use super::{card, table};
use crate::ab::measure::statistics::Estimate;
use crate::ab::report::html::format;
use crate::ab::report::html::markup::Markup;
use crate::ab::report::numbers::{Numbers, WithHost};

pub fn write(main: &mut Markup, measured: &Numbers) {
    let whole = &measured.whole;
    card(main, "Cost per stream, including the host", |card| {
        let mut rows = vec![
            row("wall clock", &whole.wall_ns, None, format::time),
            row("CPU time of the thread", &whole.cpu_ns, whole.cpu_ratio, format::time),
        ];
        if let Some(counts) = &whole.instructions {
            rows.push(row("instructions, user mode", counts, whole.instructions_ratio, format::count));
        }
        table(card, &["", "native", "wasm", "host alone", "native / wasm without the host", "95 % interval"], &rows);
        if let Some(reason) = &whole.instructions_unavailable {
            card.text_tag("p", &[("class", &"soft")], format!("Instructions: not available, {reason}."));
        }
    });
}

fn row(name: &str, of: &WithHost, ratio: Option<Estimate>, text: fn(f64) -> String) -> Vec<String> {
    let mut cells = vec![name.to_owned()];
    cells.extend([of.native, of.wasm, of.host].map(|value| format::or_dash(value, text)));
    cells.push(ratio.map_or_else(String::new, |ratio| format::ratio(ratio.value)));
    cells.push(ratio.and_then(|ratio| format::ratio_interval(&ratio)).unwrap_or_default());
    cells
}
