//! The cost of a rollout on the serving thread: streams alone, and shadowed by the other build.

use std::time::Duration;

use dynvm_benches::artifacts::Artifacts;
use dynvm_benches::dynamic::{Dynamic, loader};
use dynvm_benches::rolled_out::RolledOut;
use dynvm_benches::{Subject as _, Workload};

use dynvm_rollout::rollout::Share;

use crate::table::{Runner, cell, head, interleave, ratio, row, timed};

const WORKLOADS: [Workload; 4] = [
    Workload { name: "noop", headers: 5, body: 0 },
    Workload { name: "header", headers: 5, body: 0 },
    Workload { name: "all-headers", headers: 20, body: 0 },
    Workload { name: "json", headers: 5, body: 16 << 10 },
];

pub fn measure(suite: &Artifacts, rounds: usize) -> anyhow::Result<()> {
    let loader = loader(|_| {})?;
    let titles = [
        "stream",
        "VM alone",
        "rollout, shadow 0 %",
        "1 %",
        "100 %",
        "0 % / alone",
        "1 % / 0 %",
        "100 % / 0 %",
        "compared at 100 %",
    ];
    for (name, arms) in [
        ("wasm answers, native is the shadow", [&*suite.wasm, &*suite.native]),
        ("native answers, wasm is the shadow", [&*suite.native, &*suite.wasm]),
    ] {
        println!("\n{name}\n");
        head(&titles);
        for workload in WORKLOADS {
            let template = workload.stream();
            let mut alone = Dynamic::load(&loader, arms[0], workload.name)?;
            let rolled = |percent| RolledOut::start(&loader, arms, workload.name, Share::percent(percent));
            let mut rollouts = [rolled(0.0)?, rolled(1.0)?, rolled(100.0)?];
            let mut subjects: Vec<Runner<'_>> = vec![timed(|| alone.stream(&template))];
            for rollout in &mut rollouts {
                subjects.push(timed(|| rollout.stream(&template)));
            }
            let mut times = interleave(&mut subjects, rounds)?;
            drop(subjects);
            let mut cells = vec![workload.title()];
            cells.extend(times.iter_mut().map(cell));
            let medians: Vec<f64> = times.iter_mut().map(|times| times.median()).collect();
            cells.extend([ratio(medians[1], medians[0]), ratio(medians[2], medians[1]), ratio(medians[3], medians[1])]);
            // A full queue drops recordings, so not all of them are compared.
            rollouts[2].rollout.flush(Duration::from_secs(60));
            let seen = rollouts[2].rollout.snapshot();
            let compared = seen.shadow.same + seen.shadow.diverged;
            cells.push(format!(
                "{:.0} %, {} diverged",
                compared as f64 * 100.0 / seen.streams[0] as f64,
                seen.shadow.diverged
            ));
            row(&cells);
        }
    }
    Ok(())
}
