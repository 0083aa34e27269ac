//! The same for deployments and rollouts, whose VMs are replaced too.

use std::sync::Arc;

use dynvm::host::{HttpCallResponse, NoLog};
use dynvm::{CallError, FailurePolicy, PluginConfig, ReloadBackoff, VmConfig};
use dynvm_rollout::deploy::{Deployment, DeploymentConfig, Worker};
use dynvm_rollout::rollout::{Arm, Rollout, RolloutConfig, Share};

use harness::compile;
use harness::{Backend, TestStream, loader, parts};

use crate::{BACKENDS, WAITS};

fn deployment(backend: Backend) -> Deployment {
    let plugin = PluginConfig::named("probe").configuration(WAITS).failure_policy(FailurePolicy::Reload);
    let mut config = DeploymentConfig::new(VmConfig::with_id("vm"), plugin).log(Arc::new(NoLog));
    config.vm_backoff = ReloadBackoff::none();
    Deployment::new(loader(), compile::plugin(backend, "probe.c", &[]), config).unwrap()
}

fn worker(deployment: &Deployment, parts: &harness::Parts) -> Worker {
    let services = parts.services.clone();
    deployment.worker(move |_| services.clone()).unwrap()
}

#[needs::wasm_clang]
#[test]
fn a_worker_knows_nothing_of_a_replaced_vm() {
    for backend in BACKENDS {
        let parts = parts();
        let mut worker = worker(&deployment(backend), &parts);
        let request = |worker: &mut Worker| {
            let stream = worker.create_stream(Box::new(TestStream::default())).unwrap();
            worker.vm_of(stream).unwrap().on_request_headers(stream.context(), 0, false);
            stream
        };
        let (alice, eve) = (request(&mut worker), request(&mut worker));
        let (_, old_root) = worker.vm(1).unwrap();
        worker.vm_of(eve).unwrap().on_request_body(eve.context(), 0, false);
        let bob = request(&mut worker);
        assert_eq!((alice.context().get(), alice.version()), (bob.context().get(), bob.version()), "{backend:?}");
        harness::lines(&parts.log);
        assert!(worker.vm_of(alice).is_none() && worker.end(alice).is_none(), "{backend:?}");
        let (vm, root) = worker.vm(1).unwrap();
        assert_ne!(root, old_root);
        let late = parts.calls.http.borrow()[0].id;
        let answered = vm.on_http_call_response(late, HttpCallResponse::default());
        assert!(matches!(answered, Err(CallError::UnknownCall(_))), "{backend:?}");
        vm.on_tick(old_root);
        assert_eq!(harness::lines(&parts.log), [""; 0], "{backend:?}");
    }
}

/// Workers of one deployment on two threads use the same context numbers.
#[needs::wasm_clang]
#[test]
fn a_worker_knows_nothing_of_another() {
    for backend in BACKENDS {
        let (deployment, parts) = (deployment(backend), parts());
        let (mut one, mut other) = (worker(&deployment, &parts), worker(&deployment, &parts));
        let alice = one.create_stream(Box::new(TestStream::default())).unwrap();
        let bob = other.create_stream(Box::new(TestStream::default())).unwrap();
        assert_eq!((alice.context().get(), alice.version()), (bob.context().get(), bob.version()));
        assert!(other.vm_of(alice).is_none() && other.end(alice).is_none(), "{backend:?}");
        assert!(one.vm_of(alice).is_some() && other.vm_of(bob).is_some());
    }
}

#[needs::wasm_clang]
#[test]
fn a_rollout_knows_nothing_of_a_replaced_vm() {
    for backend in BACKENDS {
        for shadow in [Share::NONE, Share::ALL] {
            let rollout = Rollout::new(deployment(backend), deployment(backend), RolloutConfig::default());
            rollout.set_shadow(shadow);
            let parts = parts();
            let services = parts.services.clone();
            let mut worker = rollout.worker(move |_, _| services.clone()).unwrap();
            let mut request = || {
                let stream = worker.create_stream(None, Box::new(TestStream::default())).unwrap();
                worker.call(stream, |vm, id| vm.on_request_headers(id, 0, false));
                stream
            };
            let (alice, eve) = (request(), request());
            worker.call(eve, |vm, id| vm.on_request_body(id, 0, false));
            let bob = worker.create_stream(None, Box::new(TestStream::default())).unwrap();
            worker.call(bob, |vm, id| vm.on_request_headers(id, 0, false));
            assert_eq!(alice.context().get(), bob.context().get(), "{backend:?}");
            harness::lines(&parts.log);
            assert!(worker.call(alice, |_, _| ()).is_none(), "{backend:?}");
            assert!(worker.stream::<TestStream>(alice).is_none() && worker.end(alice).is_none());
            let calls: Vec<_> = parts.calls.http.borrow().iter().map(|call| call.id).collect();
            let late = worker.on_http_call_response(Arm::Stable, 1, calls[0], HttpCallResponse::default());
            assert!(matches!(late, Err(CallError::UnknownCall(_))), "{backend:?}");
            assert_eq!(harness::lines(&parts.log), [""; 0], "{backend:?}");
            worker.on_http_call_response(Arm::Stable, 1, calls[2], HttpCallResponse::default()).unwrap();
            assert_eq!(harness::lines(&parts.log).len(), 1, "{backend:?}");
        }
    }
}
