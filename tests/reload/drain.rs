//! An old version that defers its end.

use std::time::{Duration, Instant};

use crate::stage::{Stage, version};
use harness::Backend;

fn waiting(backend: Backend, timeout: Duration) -> Stage {
    let mut stage = Stage::with(&version(backend, "one", &["WAITS"]), |config| config.drain_timeout(timeout));
    let stream = stage.stream();
    stage.deployment.reload_from(version(backend, "two", &[])).unwrap();
    assert_eq!(stage.serve(), "two");
    assert!(stage.worker.end(stream).is_some());
    assert_eq!(stage.log(), ["one on_done"]);
    assert_eq!(stage.retained(), [(1, 1, 0), (2, 1, 0)]);
    stage
}

#[needs::wasm_clang]
#[test]
fn a_version_is_kept_until_its_proxy_done() {
    for backend in [Backend::Native, Backend::Wasm] {
        let mut stage = waiting(backend, Duration::from_secs(3600));
        let deadline = stage.worker.poll().expect("it is being waited for");
        assert!(deadline > Instant::now() + Duration::from_secs(3500));
        assert_eq!(stage.serve(), "two");
        assert!(stage.log().is_empty(), "it is asked once");
        // Its tick, in which it calls proxy_done.
        let (vm, root) = stage.worker.vm(1).unwrap();
        vm.on_tick(root);
        assert_eq!(stage.worker.poll(), None);
        assert_eq!(stage.log(), ["one on_delete"]);
        assert_eq!(stage.retained(), [(2, 1, 0)]);
        assert_eq!((stage.worker.stats().drained, stage.worker.stats().drain_timeouts), (1, 0));
    }
}

#[needs::wasm_clang]
#[test]
fn a_version_is_ended_when_its_time_is_over() {
    for backend in [Backend::Native, Backend::Wasm] {
        let mut stage = waiting(backend, Duration::from_millis(30));
        while let Some(deadline) = stage.worker.poll() {
            std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
        }
        assert_eq!(stage.log(), ["version 1 has not called proxy_done within 30ms", "one on_delete"]);
        assert_eq!(stage.retained(), [(2, 1, 0)]);
        assert_eq!((stage.worker.stats().drained, stage.worker.stats().drain_timeouts), (1, 1));
    }
}

/// The embedder may also end streams through the VM; the next poll notices.
#[test]
fn streams_deleted_in_the_vm_count() {
    let mut stage = Stage::new(&version(Backend::Native, "one", &[]));
    let stream = stage.stream();
    stage.deployment.reload().unwrap();
    stage.worker.poll();
    assert_eq!(stage.retained(), [(1, 1, 1), (2, 1, 0)]);
    stage.worker.vm_of(stream).unwrap().delete_stream(stream.context());
    stage.worker.poll();
    assert_eq!(stage.retained(), [(2, 1, 0)]);
}

/// A thread that ends drops its versions.
#[test]
fn a_dropped_worker_is_not_counted() {
    let mut stage = Stage::new(&version(Backend::Native, "one", &[]));
    stage.stream();
    stage.deployment.reload().unwrap();
    stage.stream();
    assert_eq!(stage.retained(), [(1, 1, 1), (2, 1, 1)]);
    let Stage { worker, deployment, .. } = stage;
    drop(worker);
    assert_eq!(crate::stage::retained(&deployment.status()), [(2, 0, 0)]);
}
