//! Whole streams in instructions, which a busy machine does not change. Callgrind counts the instructions of this
//! program for two numbers of streams; the difference is the cost of the streams.

use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use dynvm_benches::artifacts::Artifacts;
use dynvm_benches::direct::Direct;
use dynvm_benches::dynamic::{Dynamic, loader, native};
use dynvm_benches::linked::Linked;
use dynvm_benches::{Subject, WORKLOADS, linked_in};

use crate::table::{head, ratio, row};

const SUBJECTS: [&str; 7] =
    ["direct", "SDK linked", "linked in", "linked in, slots", "native, no guard", "native", "wasm"];

pub fn measure() -> anyhow::Result<()> {
    // Compiles, and fills the cache.
    count(0, "wasm", 1)?;
    let mut titles = vec!["instructions"];
    titles.extend(SUBJECTS);
    titles.extend(["native / SDK linked", "linked in, slots / native", "native / wasm"]);
    head(&titles);
    for (index, workload) in WORKLOADS.iter().enumerate() {
        let (few, many) = if workload.body == 0 { (100, 1100) } else { (5, 25) };
        let mut counts = Vec::new();
        for subject in SUBJECTS {
            let per_stream = (count(index, subject, many)? - count(index, subject, few)?) / f64::from(many - few);
            counts.push(per_stream);
        }
        let mut cells = vec![workload.title()];
        cells.extend(counts.iter().map(|count| format!("{count:.0}")));
        cells.push(ratio(counts[5], counts[1]));
        cells.push(ratio(counts[3], counts[5]));
        cells.push(ratio(counts[5], counts[6]));
        row(&cells);
    }
    Ok(())
}

/// Instructions of a whole run of this program.
fn count(workload: usize, subject: &str, streams: u32) -> anyhow::Result<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .arg("--only")
        .args([&workload.to_string(), subject, &streams.to_string()])
        .output()
        .context("valgrind cannot be run: install it")?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind failed: {text}");
    let count = text.lines().find_map(|line| line.split_once("Collected : ").map(|(_, count)| count.trim()));
    count.and_then(|count| count.parse().ok()).with_context(|| format!("no count in {text}"))
}

/// One run whose instructions are counted.
pub fn run_only(suite: &Artifacts, only: &[String]) -> anyhow::Result<()> {
    let [workload, subject, count] = only else { bail!("three values are expected") };
    let workload = WORKLOADS[workload.parse::<usize>()?];
    let mut subject: Box<dyn Subject> = match subject.as_str() {
        "direct" => Box::new(Direct::new(workload)),
        "SDK linked" => Box::new(Linked::start(workload.name)),
        "linked in" => Box::new(Dynamic::start(&linked_in::suite_shared()?, workload.name)?),
        "linked in, slots" => Box::new(Dynamic::start(&linked_in::suite_slots()?, workload.name)?),
        "native, no guard" => {
            let loader = loader(|options| native(options).contain_crashes = false)?;
            Box::new(Dynamic::load(&loader, &suite.native, workload.name)?)
        }
        "native" => Box::new(Dynamic::load(&loader(|_| {})?, &suite.native, workload.name)?),
        "wasm" => {
            // Compiled earlier, or the compiler's instructions would dominate.
            let dir = std::env::temp_dir().join("dynvm-benches-cache");
            let loader = loader(|options| options.wasm.cache_dir = Some(dir))?;
            Box::new(Dynamic::load(&loader, &suite.wasm, workload.name)?)
        }
        other => bail!("no subject {other:?}"),
    };
    let template = workload.stream();
    for _ in 0..count.parse::<u32>()? {
        subject.stream(&template);
    }
    Ok(())
}
