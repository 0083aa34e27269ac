//! Which deployment answers a stream.

use dynvm_rollout::rollout::{Arm, RolloutStream, Share};

use crate::{BOTH, Two, headers};
use harness::TestStream;

fn scripts() -> [&'static str; 2] {
    [
        "on_request_headers|proxy_add_header_map_value 0 x-plugin one",
        "on_request_headers|proxy_add_header_map_value 0 x-plugin two",
    ]
}

fn keyed(two: &mut Two, key: u32) -> RolloutStream {
    let stream = Box::new(TestStream::with_headers([(":path", "/")]));
    two.worker.create_stream(Some(&key.to_le_bytes()), stream).unwrap()
}

#[needs::wasm_clang]
#[test]
fn the_arm_that_was_chosen_answers() {
    for arms in BOTH {
        let mut two = Two::new(arms, scripts());
        two.rollout.set_shadow(Share::NONE);
        for (share, arm, value) in [(Share::NONE, Arm::Stable, "one"), (Share::ALL, Arm::Candidate, "two")] {
            two.rollout.set_split(share);
            let stream = keyed(&mut two, 0);
            assert_eq!((stream.arm(), stream.is_shadowed()), (arm, false));
            two.worker.call(stream, |vm, id| vm.on_request_headers(id, 1, true));
            assert!(headers(&mut two.worker, stream).iter().any(|line| line == (b"x-plugin", value.as_bytes())));
            assert!(two.worker.end(stream).is_some());
        }
        assert_eq!(two.seen().streams, [1, 1]);
    }
}

/// The share may change while streams run: they stay on their deployment, and the candidate keeps its keys.
#[needs::wasm_clang]
#[test]
fn shares_grow_while_streams_run() {
    let mut two = Two::new(BOTH[0], scripts());
    two.rollout.set_shadow(Share::NONE);
    let mut candidates = Vec::new();
    for percent in [1.0, 10.0, 50.0] {
        two.rollout.set_split(Share::percent(percent));
        let streams: Vec<_> = (0..2000).map(|key| keyed(&mut two, key)).collect();
        assert!(candidates.iter().all(|key: &usize| streams[*key].arm() == Arm::Candidate));
        candidates = (0..2000).filter(|key| streams[*key].arm() == Arm::Candidate).collect();
        let share = candidates.len() as f64 / 20.0;
        assert!((share - percent).abs() < percent / 2.0, "{share} % of {percent} %");
        two.rollout.set_split(Share::NONE);
        for stream in streams {
            let arm = stream.arm();
            assert!(two.worker.call(stream, |vm, id| vm.on_request_headers(id, 1, true)).is_some(), "{arm:?}");
            two.worker.end(stream);
        }
    }
}

#[needs::wasm_clang]
#[test]
fn without_a_key_chance_decides() {
    let mut two = Two::new(BOTH[0], scripts());
    two.rollout.set_shadow(Share::NONE);
    two.rollout.set_split(Share::percent(50.0));
    for _ in 0..1000 {
        two.request();
    }
    let [stable, candidate] = two.seen().streams;
    assert!(stable + candidate == 1000 && stable > 300 && candidate > 300, "{stable}, {candidate}");
}

/// If the candidate answers, the stable deployment is the shadow.
#[needs::wasm_clang]
#[test]
fn each_is_the_others_shadow() {
    for arms in BOTH {
        let mut two = Two::new(arms, scripts());
        two.rollout.set_split(Share::ALL);
        two.request();
        let seen = two.seen();
        let first = &seen.first[0];
        assert_eq!((first.answering.0, first.shadow.0), (Arm::Candidate, Arm::Stable));
        assert!(first.answered.contains("two") && first.shadowed.contains("one"), "{first:?}");
    }
}
