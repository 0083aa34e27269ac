//! Whole streams.

use std::path::Path;

use dynvm_benches::artifacts::Artifacts;
use dynvm_benches::direct::Direct;
use dynvm_benches::dynamic::{Dynamic, loader, native};
use dynvm_benches::linked::Linked;
use dynvm_benches::stream::BenchStream;
use dynvm_benches::{Subject, Workload, linked_in};

use crate::peer::Peer;
use crate::table::{Runner, cell, head, interleave, ratio, row, timed};

pub fn measure(suite: &Artifacts, workloads: &[Workload], rounds: usize, peer: Option<&Path>) -> anyhow::Result<()> {
    let guarded = loader(|_| {})?;
    let modules = [
        loader(|options| native(options).contain_crashes = false)?.load_file(&suite.native)?,
        loader(|options| native(options).heap = false)?.load_file(&suite.native)?,
        guarded.load_file(&suite.native)?,
        guarded.load_file(&suite.wasm)?,
    ];
    let mut peer = peer.map(|program| Peer::start(program, &suite.wasm)).transpose()?;
    let linked_in = [linked_in::suite_shared()?, linked_in::suite_slots()?];
    let mut titles = vec!["stream", "direct", "SDK linked", "native, no guard", "native, libc heap", "native", "wasm"];
    titles.extend(["linked in", "linked in, slots"]);
    if peer.is_some() {
        titles.push("proxy-wasm-host");
    }
    titles.extend(["native / SDK linked", "native / wasm", "linked in, slots / native"]);
    if peer.is_some() {
        titles.push("wasm / proxy-wasm-host");
    }
    head(&titles);
    for workload in workloads {
        let template = workload.stream();
        let mut plugins: Vec<Box<dyn Subject>> =
            vec![Box::new(Direct::new(*workload)), Box::new(Linked::start(workload.name))];
        for module in modules.iter().chain(&linked_in) {
            plugins.push(Box::new(Dynamic::start(module, workload.name)?));
        }
        let mut subjects: Vec<Runner<'_>> =
            plugins.iter_mut().map(|plugin| streams(plugin.as_mut(), &template)).collect();
        if let Some(peer) = &mut peer {
            subjects.push(Box::new(|count| peer.streams(*workload, count)));
        }
        let mut times = interleave(&mut subjects, rounds)?;
        drop(subjects);
        let mut cells = vec![workload.title()];
        cells.extend(times.iter_mut().map(cell));
        let medians: Vec<f64> = times.iter_mut().map(|times| times.median()).collect();
        cells.push(ratio(medians[4], medians[1]));
        cells.push(ratio(medians[4], medians[5]));
        cells.push(ratio(medians[7], medians[4]));
        if peer.is_some() {
            cells.push(ratio(medians[5], medians[8]));
        }
        row(&cells);
    }
    Ok(())
}

fn streams<'a>(plugin: &'a mut dyn Subject, template: &'a BenchStream) -> Runner<'a> {
    timed(move || plugin.stream(template))
}
