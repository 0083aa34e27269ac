//! Memory of one more VM.

use anyhow::Context as _;
use dynvm_benches::Subject as _;
use dynvm_benches::artifacts::Artifacts;
use dynvm_benches::dynamic::{Dynamic, loader};
use dynvm_benches::{WORKLOADS, Workload};

use crate::table::{head, row};

/// The number of VMs.
const VMS: usize = 64;

pub fn measure(suite: &Artifacts) -> anyhow::Result<()> {
    head(&["one more VM", "resident KiB", "mappings"]);
    let loader = loader(|_| {})?;
    for (title, path) in [("native", &suite.native), ("wasm", &suite.wasm)] {
        let module = loader.load_file(path)?;
        let workload: Workload = WORKLOADS[1];
        let start = || -> anyhow::Result<Dynamic> {
            let mut plugin = Dynamic::start(&module, workload.name)?;
            // Pages that streams touch count.
            plugin.stream(&workload.stream());
            Ok(plugin)
        };
        // One-time allocations are already made.
        let first = start()?;
        let (resident, mappings) = usage()?;
        let vms = (0..VMS).map(|_| start()).collect::<anyhow::Result<Vec<_>>>()?;
        let (resident_after, mappings_after) = usage()?;
        drop(vms);
        drop(first);
        row(&[
            title.to_owned(),
            ((resident_after - resident) / VMS).to_string(),
            format!("{:.1}", (mappings_after - mappings) as f64 / VMS as f64),
        ]);
    }
    Ok(())
}

/// Resident memory of this process in KiB, and the number of its mappings.
fn usage() -> anyhow::Result<(usize, usize)> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let resident =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc/self/status")?;
    let resident = resident.trim().trim_end_matches(" kB").parse()?;
    Ok((resident, std::fs::read_to_string("/proc/self/maps")?.lines().count()))
}
