//! Cold start and memory.

use super::{card, numbers};
use crate::ab::measure::statistics::Estimate;
use crate::ab::report::html::figure::bars::{self, Bar};
use crate::ab::report::html::figure::half_figure;
use crate::ab::report::html::format;
use crate::ab::report::html::markup::Markup;
use crate::ab::report::numbers::{ColdNumbers, Numbers};

pub fn write(main: &mut Markup, measured: &Numbers) {
    main.tag("div", &[("class", &"pair")], |pair| {
        card(pair, "Cold start", |card| cold(card, &measured.cold_start));
        card(pair, "Memory and size", |card| memory(card, measured));
    });
}

fn cold(card: &mut Markup, cold: &ColdNumbers) {
    let mut rows = vec![("native", "native", cold.native_load_ns, "load", cold.start_ns.native)];
    if let Some(cached) = cold.wasm_cached_ns {
        rows.push(("wasm, cached", "wasm", cached, "load", cold.start_ns.wasm));
    }
    rows.push(("wasm, compiled", "wasm", cold.wasm_compile_ns, "compile", cold.start_ns.wasm));
    let total = |load: Estimate, start: Estimate| format::time(load.value + start.value);
    let text: Vec<String> =
        rows.iter().map(|(name, _, load, _, start)| format!("{name} {}", total(*load, *start))).collect();
    half_figure(card, &format!("From a file to a plugin that serves: {}", text.join(", ")), |svg, canvas| {
        let bar =
            |(name, class, load, what, start): &(&'static str, &'static str, Estimate, &'static str, Estimate)| Bar {
                name,
                class,
                parts: vec![(load.value, *what), (start.value, "start")],
                total: total(*load, *start),
            };
        bars::draw(svg, canvas, &rows.iter().map(bar).collect::<Vec<_>>())
    });
    card.text_tag("p", &[("class", &"soft")], "From a file to a serving plugin: load, start and configure a VM.");
    if let Some(reason) = &cold.wasm_cached_unavailable {
        card.text_tag("p", &[("class", &"soft")], format!("Loading from the cache was not measured: {reason}"));
    }
    let cell = |estimate: Estimate| {
        let interval = format::interval(&estimate, format::time).map_or_else(String::new, |text| format!(" ({text})"));
        format!("{}{interval}", format::time(estimate.value))
    };
    let or_dash = |estimate: Option<Estimate>| estimate.map_or_else(|| "–".to_owned(), cell);
    numbers(
        card,
        &["median (95 % interval)", "native", "wasm"],
        &[
            vec!["load, or compile".to_owned(), cell(cold.native_load_ns), cell(cold.wasm_compile_ns)],
            vec!["load from the cache".to_owned(), "–".to_owned(), or_dash(cold.wasm_cached_ns)],
            vec!["start a VM".to_owned(), cell(cold.start_ns.native), cell(cold.start_ns.wasm)],
            vec!["first stream".to_owned(), or_dash(cold.first_stream_ns.native), or_dash(cold.first_stream_ns.wasm)],
        ],
    );
}

fn memory(card: &mut Markup, measured: &Numbers) {
    let (memory, size) = (&measured.memory_per_vm_bytes, &measured.size_bytes);
    let vms = [("native VM", "native", memory.native), ("wasm VM", "wasm", memory.wasm)];
    let vms: Vec<_> = vms.into_iter().filter_map(|(name, class, bytes)| Some((name, class, bytes?.value))).collect();
    let files = [("native file", "native", size.native as f64), ("wasm file", "wasm", size.wasm as f64)];
    for (bars, note) in
        [(&vms[..], "Memory per additional VM, after its first traffic."), (&files[..], "Size of the artifact.")]
    {
        if bars.is_empty() {
            card.text_tag("p", &[("class", &"soft")], "Memory per VM: unknown on this system.");
            continue;
        }
        let text: Vec<String> =
            bars.iter().map(|(name, _, bytes)| format!("{name} {}", format::size(*bytes))).collect();
        half_figure(card, &format!("{note} {}", text.join(", ")), |svg, canvas| {
            let bar = |(name, class, bytes): &(&'static str, &'static str, f64)| Bar {
                name,
                class,
                parts: vec![(*bytes, "")],
                total: format::size(*bytes),
            };
            bars::draw(svg, canvas, &bars.iter().map(bar).collect::<Vec<_>>())
        });
        card.text_tag("p", &[("class", &"soft")], note);
    }
}
