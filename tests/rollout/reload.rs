//! Either deployment is reloaded while streams are shadowed.

use dynvm::PluginConfig;
use dynvm_rollout::rollout::{Arm, Aspect};

use crate::{BOTH, Two};
use harness::TestStream;

#[needs::wasm_clang]
#[test]
fn the_shadow_follows_its_deployment() {
    for arms in BOTH {
        let mut two = Two::new(arms, ["", "on_request_headers|return 1"]);
        two.request();
        assert_eq!(two.aspects(), [Aspect::Action]);
        two.rollout.deployment(Arm::Candidate).reload_config(PluginConfig::named("probe")).unwrap();
        two.request();
        let seen = two.seen();
        assert_eq!((seen.shadow.diverged, seen.shadow.same), (1, 1));
        assert_eq!(seen.first[0].shadow.2, 1, "it was version 1");
    }
}

/// A stream that began on an old version ends on it, and is compared with its own recording.
#[needs::wasm_clang]
#[test]
fn a_stream_that_outlives_its_version_is_compared() {
    for arms in BOTH {
        let mut two = Two::new(arms, ["on_request_body|return 1", "on_request_body|return 1"]);
        let stream = two.stream(TestStream::with_headers([(":path", "/")]));
        two.worker.call(stream, |vm, id| vm.on_request_headers(id, 1, false));
        two.rollout.deployment(Arm::Stable).reload_config(PluginConfig::named("probe")).unwrap();
        two.worker.poll();
        two.request();
        two.worker.call(stream, |vm, id| vm.on_request_body(id, 0, true));
        two.worker.end(stream);
        let seen = two.seen();
        assert_eq!((seen.shadow.same, seen.shadow.diverged), (1, 1), "{:?}", seen.first);
        assert_eq!((seen.first[0].answering.2, seen.first[0].aspect), (2, Aspect::Action), "the new one does not stop");
        assert!(two.worker.vm(Arm::Stable, 1).is_none(), "the old version has drained");
    }
}
