//! A held stream does not wait for an event that will never arrive.

use std::rc::Rc;

use dynvm::FailurePolicy;
use dynvm::abi::types::{FilterHeadersStatus, FilterStatus};
use dynvm::{PluginConfig, host::Headers};
use dynvm_sim::{Direction, SimProxy};

use crate::{BACKENDS, WAITS, World};
use harness::{Harness, TestStream, probe};

const FAILED: [&str; 2] = ["fail HttpRequest", "fail HttpResponse"];

/// It is failed once when another stream makes the VM fail.
#[needs::wasm_clang]
#[test]
fn a_held_stream_of_a_failed_vm_is_failed() {
    for backend in BACKENDS {
        for policy in [FailurePolicy::Closed, FailurePolicy::Reload] {
            let mut world = World::new(backend, policy, WAITS);
            let (alice, held) = world.request();
            let failing = world.fail();
            assert_eq!(
                (&held.borrow()[..], &failing.borrow()[..]),
                (&FAILED.map(str::to_owned)[..], &FAILED.map(str::to_owned)[..])
            );
            let status = world.plugin.vm().on_response_headers(alice, 0, true);
            assert_eq!(status, FilterHeadersStatus::StopAllIterationAndWatermark);
            world.request();
            drop(world.plugin);
            assert_eq!((held.borrow().len(), failing.borrow().len()), (2, 2), "once, {backend:?}");
        }
    }
}

/// Under `FAIL_OPEN` it continues; the stream in whose callback the VM failed does not.
#[needs::wasm_clang]
#[test]
fn a_held_stream_goes_on_where_the_policy_is_open() {
    for backend in BACKENDS {
        let mut world = World::new(backend, FailurePolicy::Open, WAITS);
        let (alice, held) = world.request();
        let failing = world.fail();
        assert_eq!(*held.borrow(), ["continue HttpRequest", "continue HttpResponse"], "{backend:?}");
        assert_eq!(*failing.borrow(), FAILED, "{backend:?}");
        assert_eq!(world.plugin.vm().on_response_headers(alice, 0, true), FilterHeadersStatus::Continue);
        drop(world.plugin);
        assert_eq!((held.borrow().len(), failing.borrow().len()), (2, 2), "once, {backend:?}");
    }
}

/// A held stream of a dropped VM is failed; a stream that is done has nothing left to fail.
#[needs::wasm_clang]
#[test]
fn a_held_stream_of_a_dropped_vm_is_failed() {
    for backend in BACKENDS {
        let mut world = World::new(backend, FailurePolicy::Closed, WAITS);
        let (_, held) = world.request();
        let (done, over) = world.request();
        world.plugin.vm().on_done(done);
        drop(world.plugin);
        assert_eq!(*held.borrow(), FAILED, "{backend:?}");
        assert_eq!(*over.borrow(), [""; 0], "{backend:?}");
    }
}

#[needs::wasm_clang]
#[test]
fn a_held_connection_of_a_failed_vm_is_failed() {
    for backend in BACKENDS {
        let script = "on_new_connection|return 1\non_downstream_data|trap\n";
        let mut harness = Harness::new(backend, script);
        let streams = [TestStream::default(), TestStream::default()];
        let asked = streams.each_ref().map(|stream| Rc::clone(&stream.asked));
        let ids = streams.map(|stream| harness.stream(stream));
        assert_eq!(ids.map(|id| harness.vm.on_new_connection(id)), [FilterStatus::StopIteration; 2]);
        harness.vm.on_downstream_data(ids[1], 0, false);
        for asked in asked {
            assert_eq!(*asked.borrow(), ["fail Downstream", "fail Upstream"], "{backend:?}");
        }
    }
}

/// Actions that the plugin requested in the failing callback run before the failure.
#[needs::wasm_clang]
#[test]
fn a_failure_comes_after_what_the_callback_asked_for() {
    for backend in BACKENDS {
        let script = "on_request_body|proxy_set_effective_context 2\non_request_body|proxy_continue_stream 0\n\
                      on_request_body|trap\n";
        let mut world = World::new(backend, FailurePolicy::Closed, script);
        let (_, held) = world.request();
        world.fail();
        assert_eq!(held.borrow()[..], ["continue HttpRequest", FAILED[0], FAILED[1]], "{backend:?}");
    }
}

#[needs::wasm_clang]
#[test]
fn the_simulated_proxy_ends_held_streams() {
    for backend in BACKENDS {
        let config = PluginConfig::named("probe").configuration(WAITS).failure_policy(FailurePolicy::Reload);
        let mut proxy = SimProxy::builder().plugin_config(config).by_hand("up").start(&probe(backend, &[])).unwrap();
        let [alice, eve] = [proxy.open(&[]).unwrap(), proxy.open(&[]).unwrap()];
        for stream in [alice, eve] {
            proxy.headers(stream, Direction::Request, Headers::from([(":path", "/")]), false).unwrap();
        }
        assert!(proxy.look(alice).unwrap().request_held);
        // A held request sees its body only when it continues.
        let waiting = proxy.waiting_calls();
        assert_eq!(waiting.len(), 6, "{backend:?}");
        proxy.vm().on_request_body(eve.context(), 0, false);
        let view = proxy.look(alice).unwrap();
        assert!(view.failed && !view.request_held, "{backend:?}");
        assert!(proxy.waiting_calls().is_empty(), "{backend:?}");
        assert!(proxy.answer_http(waiting[0].id(), None).is_err());
    }
}
