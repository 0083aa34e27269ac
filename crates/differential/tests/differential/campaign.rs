//! Many generated streams.

use std::sync::atomic::{AtomicU64, Ordering};

use dynvm_compare::rules::Rules;
use dynvm_differential::campaign::{Campaign, Summary, run};
use dynvm_differential::generate::Generator;
use dynvm_differential::lockstep::Pair;
use dynvm_differential::scenario::Scenario;

use crate::plugins::{logs_from, pair};

fn campaign(pair: &Pair, streams: u64, threads: usize) -> Summary {
    let generator = Generator::new(&Scenario::standard(), b"", 5);
    let campaign = Campaign { streams, streams_per_vm: 30, threads };
    run(pair, &generator, Rules::default(), campaign, &|_| ()).unwrap()
}

#[test]
fn all_streams_are_compared_on_any_number_of_threads() {
    for threads in [1, 2, 5] {
        let generator = Generator::new(&Scenario::standard(), b"", 5);
        let done = AtomicU64::new(0);
        let same = pair(&logs_from(5), &logs_from(5));
        let campaign = Campaign { streams: 1_003, streams_per_vm: 30, threads };
        let progress = |streams| {
            done.fetch_max(streams, Ordering::Relaxed);
        };
        let summary = run(&same, &generator, Rules::strict(), campaign, &progress).unwrap();
        assert!(summary.divergence.is_none());
        assert_eq!((summary.streams, summary.vms, done.into_inner()), (1_003, 34, 1_003));
        assert!(summary.events > 10_000);
    }
}

#[test]
fn the_first_divergence_is_the_same_on_any_number_of_threads() {
    let pair = pair(&logs_from(12), &logs_from(100));
    let found = [1, 3].map(|threads| campaign(&pair, 20_000, threads).divergence.unwrap());
    assert_eq!(found[0].0, found[1].0);
    assert_eq!(
        found[0].1.step.map(|step| step + 1),
        Some(found[0].0.steps.len()),
        "it ends with the step that diverges"
    );
}

#[test]
fn after_a_failure_on_both_sides_fresh_vms_go_on() {
    let fails = "(if (i32.ge_u (local.get $count) (i32.const 9)) (then unreachable)) (i32.const 0)";
    let summary = campaign(&pair(fails, fails), 2_000, 2);
    assert!(summary.divergence.is_none());
    assert_eq!(summary.streams, 2_000);
    assert!(summary.failed_alike > 100 && summary.vms > summary.failed_alike, "{summary:?}");
}
