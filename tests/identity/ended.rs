//! Pending work of a VM or a plugin is cancelled when it fails, is refused, or ends.

use std::sync::Arc;

use dynvm::abi::types::{FilterHeadersStatus, FilterStatus};
use dynvm::host::{Consumer, HttpCallResponse};
use dynvm::{CallError, FailurePolicy, PluginConfig, Vm};

use crate::{BACKENDS, WAITS, World};
use harness::{Harness, TestStream, TestWaker, parts, probe};

/// Calls, ticks and queues end once: at the failure, and not again when the VM is dropped.
#[needs::wasm_clang]
#[test]
fn a_failed_vm_has_nothing_under_way() {
    for backend in BACKENDS {
        let script = format!("{WAITS}on_configure|proxy_set_tick_period_milliseconds 100\n");
        let mut world = World::new(backend, FailurePolicy::Closed, &script);
        world.parts.timers.0.take();
        world.fail();
        assert_eq!(world.notes(), ["cancel all of 1", "cancel 9", "cancel 14"], "{backend:?}");
        assert_eq!(world.parts.timers.0.take(), [(1, None)], "{backend:?}");
        let (http, grpc) = world.calls();
        let vm = world.plugin.vm();
        assert!(matches!(vm.on_http_call_response(http[0], HttpCallResponse::default()), Err(CallError::Vm(_))));
        assert!(matches!(vm.on_grpc_receive(grpc[0], Vec::new()), Err(CallError::Vm(_))));
        drop(world.plugin);
        assert_eq!(world.parts.calls.notes.take(), [""; 0], "{backend:?}");
        assert_eq!(world.parts.timers.0.take(), [], "{backend:?}");
    }
}

#[needs::wasm_clang]
#[test]
fn a_dropped_vm_has_nothing_under_way() {
    for backend in BACKENDS {
        let mut world = World::new(backend, FailurePolicy::Closed, WAITS);
        world.request();
        drop(world.plugin);
        assert_eq!(world.parts.calls.notes.take(), ["cancel all of 1", "cancel 9", "cancel 14"], "{backend:?}");
        assert_eq!(world.parts.timers.0.take(), [(1, None)], "{backend:?}");
    }
}

#[needs::wasm_clang]
#[test]
fn a_stopped_plugin_has_nothing_under_way() {
    for backend in BACKENDS {
        let mut world = World::new(backend, FailurePolicy::Closed, WAITS);
        let (stream, _) = world.request();
        let root = world.plugin.root();
        world.plugin.vm().delete_stream(stream);
        world.plugin.vm().stop_plugin(root).unwrap();
        assert_eq!(world.notes(), ["cancel all of 1", "cancel 9", "cancel 14"], "{backend:?}");
        let (_, grpc) = world.calls();
        assert!(world.plugin.vm().on_grpc_receive(grpc[0], Vec::new()).is_err());
    }
}

/// The answer to a call of a refused plugin neither reaches the next plugin of the VM nor makes it fail.
#[needs::wasm_clang]
#[test]
fn a_refused_plugin_has_nothing_under_way() {
    for backend in BACKENDS {
        for end in ["return 0", "trap"] {
            let script = WAITS.replace("on_request_headers|return 4", &format!("on_request_headers|{end}"));
            let script = script.replace("on_request_headers", "on_configure");
            let parts = parts();
            let mut vm = Vm::builder(&probe(backend, &[])).services(parts.services.clone()).build().unwrap();
            vm.start_plugin(PluginConfig::named("refused").configuration(script)).unwrap_err();
            let notes = parts.calls.notes.take();
            assert_eq!(notes, ["cancel all of 1", "cancel 9", "cancel 14"], "{end}, {backend:?}");
            if end == "return 0" {
                vm.start_plugin(
                    PluginConfig::named("next").configuration("on_configure|proxy_http_call up null null null 0"),
                )
                .unwrap();
            }
            harness::lines(&parts.log);
            let call = parts.calls.http.borrow()[0].id;
            let answered = vm.on_http_call_response(call, HttpCallResponse::default());
            match end {
                "trap" => assert!(matches!(answered, Err(CallError::Vm(_))), "{backend:?}"),
                _ => assert!(matches!(answered, Err(CallError::UnknownCall(_))), "{backend:?}"),
            }
            assert_eq!(harness::lines(&parts.log), [""; 0], "{end}, {backend:?}");
            assert_eq!(vm.has_failed(), end == "trap", "{backend:?}");
        }
    }
}

/// An element wakes no failed VM; a later registrant of the queue is woken, also after the old VM is gone.
#[needs::wasm_clang]
#[test]
fn a_failed_vm_is_woken_by_no_queue() {
    for backend in BACKENDS {
        let script = format!("{WAITS}on_configure|proxy_register_shared_queue jobs\n");
        let mut world = World::new(backend, FailurePolicy::Reload, &script);
        let queues = world.parts.services.shared_queues.clone();
        let queue = queues.resolve("", b"jobs").unwrap();
        queues.enqueue(queue, b"one").unwrap();
        let woken = world.parts.waker.0.lock().unwrap().split_off(0);
        assert_eq!(woken, [(1, queue)], "{backend:?}");
        let before = world.plugin.root();

        world.fail();
        queues.enqueue(queue, b"two").unwrap();
        assert_eq!(*world.parts.waker.0.lock().unwrap(), [], "{backend:?}");

        world.request();
        assert_ne!(world.plugin.root(), before);
        queues.enqueue(queue, b"three").unwrap();
        assert_eq!(*world.parts.waker.0.lock().unwrap(), [(1, queue)], "the new VM's registration stays, {backend:?}");
        assert_eq!(queues.dequeue(queue).unwrap(), b"one", "what the queue holds stays");

        let root = world.plugin.root();
        world.plugin.vm().stop_plugin(root).unwrap();
        queues.enqueue(queue, b"four").unwrap();
        assert_eq!(world.parts.waker.0.lock().unwrap().len(), 1, "{backend:?}");

        // The VM must not end a queue that another VM has taken over.
        let waker = Arc::new(TestWaker::default());
        queues.register("", b"jobs", Consumer { root: before, waker: waker.clone() });
        drop(world.plugin);
        queues.enqueue(queue, b"five").unwrap();
        assert_eq!(waker.0.lock().unwrap().len(), 1, "{backend:?}");
    }
}

/// A root is not accepted as a stream, nor a stream as a root: no code runs, and no stream continues.
#[needs::wasm_clang]
#[test]
fn contexts_of_the_wrong_kind_are_unknown() {
    for backend in BACKENDS {
        let mut harness = Harness::new(backend, "");
        let (root, stream) = (harness.root, harness.stream(TestStream::default()));
        harness.log();
        assert_eq!(harness.vm.on_request_headers(root, 0, true), FilterHeadersStatus::StopAllIterationAndWatermark);
        assert_eq!(harness.vm.on_new_connection(root), FilterStatus::StopIteration);
        assert!(harness.vm.delete_stream(root).is_none());
        harness.vm.on_tick(stream);
        harness.vm.on_queue_ready(stream, 1);
        assert!(matches!(harness.vm.on_foreign_function(stream, 1, Vec::new()), Err(CallError::UnknownContext(_))));
        assert_eq!(harness.vm.validate_configuration(stream), None);
        harness.vm.delete_stream(stream);
        harness.log();
        assert_eq!(harness.vm.on_request_headers(stream, 0, true), FilterHeadersStatus::StopAllIterationAndWatermark);
        assert_eq!(harness.log(), [""; 0], "{backend:?}");
    }
}
