//! A shadow that fails, hangs, or falls behind.

use std::time::Duration;

use dynvm_rollout::rollout::{Aspect, RolloutConfig};

use crate::{BOTH, Two};
use harness::{Backend, TestStream};

#[needs::wasm_clang]
#[test]
fn a_shadow_that_crashes_is_counted_and_replaced() {
    for arms in BOTH {
        let mut two = Two::new(arms, ["", "on_request_body|trap"]);
        for _ in 0..3 {
            two.request();
        }
        let seen = two.seen();
        assert_eq!((seen.shadow.diverged, seen.shadow.vm_failures), (3, 3));
        assert_eq!(two.aspects(), [Aspect::Failure]);
        assert!(seen.first[0].shadowed.contains("proxy_on_request_body"), "the backtrace: {}", seen.first[0].shadowed);
        let (vm, _) = two.worker.vm(dynvm_rollout::rollout::Arm::Stable, 1).unwrap();
        assert!(!vm.has_failed());
    }
}

/// While the shadow spins, streams continue, and recordings that find the queue full are dropped. The budget ends the
/// spinning.
#[needs::wasm_clang]
#[test]
fn a_shadow_that_hangs_holds_up_nobody() {
    let mut config = RolloutConfig::default();
    config.queue = 1;
    config.callback_limit = Duration::from_millis(800);
    let mut two = Two::with([Backend::Wasm, Backend::Native], ["", "on_request_headers|spin"], config);
    for _ in 0..10 {
        two.request();
    }
    let seen = two.seen();
    let counted = seen.shadow.diverged + seen.shadow.dropped;
    assert_eq!((seen.streams[0], counted), (10, 10));
    assert!(seen.shadow.dropped >= 7, "one is compared and one waits: {:?}", seen.shadow);
    assert_eq!(seen.shadow.vm_failures, seen.shadow.diverged);
}

#[needs::wasm_clang]
#[test]
fn a_stream_that_is_too_large_is_not_compared() {
    for arms in BOTH {
        let mut config = RolloutConfig::default();
        config.max_recording = 10_000;
        let mut two = Two::with(arms, ["", "on_request_headers|return 1"], config);
        let large = TestStream::with_headers([(":path", "/")])
            .buffer(dynvm::abi::types::BufferType::HttpRequestBody, &[b'x'; 20_000]);
        let stream = two.stream(large);
        two.worker.call(stream, |vm, id| vm.on_request_headers(id, 1, false));
        two.worker.end(stream);
        let seen = two.seen();
        assert_eq!((seen.shadow.too_large, seen.shadow.diverged), (1, 0));
    }
}

#[needs::wasm_clang]
#[test]
fn a_stream_whose_own_vm_fails_is_not_compared() {
    for arms in BOTH {
        let mut two = Two::new(arms, ["on_request_headers|trap", ""]);
        two.request();
        assert_eq!(two.seen().shadow.not_comparable, 1);
    }
}
