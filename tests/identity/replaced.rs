//! Ids of a failed and replaced VM are unknown to the new one.

use dynvm::abi::types::{FilterDataStatus, FilterHeadersStatus, FilterStatus, FilterTrailersStatus, PeerType};
use dynvm::host::{Headers, HttpCallResponse};
use dynvm::{CallError, FailurePolicy};

use crate::{BACKENDS, WAITS, World};
use harness::TestStream;

fn secret() -> HttpCallResponse {
    HttpCallResponse { headers: Headers::from([("secret", "of alice")]), ..HttpCallResponse::default() }
}

/// The new VM waits for a call with the same number; it does not accept the answer to the old VM's call.
#[needs::wasm_clang]
#[test]
fn a_late_http_answer_reaches_nobody() {
    for backend in BACKENDS {
        let mut world = World::new(backend, FailurePolicy::Reload, WAITS);
        world.request();
        world.fail();
        world.request();
        let (http, _) = world.calls();
        let (alice, bob) = (http[0], http[2]);
        assert_eq!(alice.token(), bob.token(), "the same number, {backend:?}");
        assert_ne!(alice, bob);
        world.log();
        let answered = world.plugin.vm().on_http_call_response(alice, secret());
        assert!(matches!(answered, Err(CallError::UnknownCall(call)) if call == alice), "{backend:?}");
        assert_eq!(world.log(), [""; 0], "{backend:?}");
        world.plugin.vm().on_http_call_response(bob, HttpCallResponse::default()).unwrap();
        assert_eq!(world.log(), ["on_http_call_response(1 4 0 0 0)"], "{backend:?}");
    }
}

#[needs::wasm_clang]
#[test]
fn late_grpc_events_reach_nobody() {
    for backend in BACKENDS {
        let mut world = World::new(backend, FailurePolicy::Reload, WAITS);
        world.request();
        world.fail();
        world.request();
        let (_, grpc) = world.calls();
        world.log();
        for index in [0, 1] {
            let (alice, bob) = (grpc[index], grpc[index + 4]);
            assert_eq!(alice.token(), bob.token(), "the same number, {backend:?}");
            let vm = world.plugin.vm();
            assert!(matches!(vm.on_grpc_receive(alice, b"secret".to_vec()), Err(CallError::UnknownCall(_))));
            assert!(vm.on_grpc_receive_initial_metadata(alice, Headers::new()).is_err());
            assert!(vm.on_grpc_receive_trailing_metadata(alice, Headers::new()).is_err());
            assert!(vm.on_grpc_close(alice, 7, b"secret".to_vec()).is_err());
            assert_eq!(world.log(), [""; 0], "{backend:?}");
            world.plugin.vm().on_grpc_close(bob, 0, Vec::new()).unwrap();
            assert_eq!(world.log().len(), 1, "{backend:?}");
        }
    }
}

/// No callback, no deletion, no access to the stream that now has the number, and no result that would let a request
/// continue.
#[needs::wasm_clang]
#[test]
fn a_stale_stream_acts_on_nothing() {
    for backend in BACKENDS {
        let mut world = World::new(backend, FailurePolicy::Reload, WAITS);
        let (alice, _) = world.request();
        world.fail();
        let (bob, asked) = world.request();
        assert_eq!(alice.get(), bob.get(), "the same number, {backend:?}");
        assert_ne!(alice, bob);
        world.log();
        let vm = world.plugin.vm();
        let stop = FilterHeadersStatus::StopAllIterationAndWatermark;
        assert_eq!(vm.on_request_headers(alice, 0, true), stop, "{backend:?}");
        assert_eq!(vm.on_response_headers(alice, 0, true), stop);
        assert_eq!(vm.on_request_body(alice, 0, true), FilterDataStatus::StopIterationNoBuffer);
        assert_eq!(vm.on_response_body(alice, 0, true), FilterDataStatus::StopIterationNoBuffer);
        assert_eq!(vm.on_request_trailers(alice, 0), FilterTrailersStatus::StopIteration);
        assert_eq!(vm.on_response_trailers(alice, 0), FilterTrailersStatus::StopIteration);
        assert_eq!(vm.on_new_connection(alice), FilterStatus::StopIteration);
        assert_eq!(vm.on_downstream_data(alice, 0, true), FilterStatus::StopIteration);
        assert_eq!(vm.on_upstream_data(alice, 0, true), FilterStatus::StopIteration);
        vm.on_request_metadata(alice, 0);
        vm.on_response_metadata(alice, 0);
        vm.on_downstream_connection_close(alice, PeerType::Remote);
        vm.on_upstream_connection_close(alice, PeerType::Remote);
        assert!(vm.on_done(alice));
        vm.on_log(alice);
        assert!(vm.delete_stream(alice).is_none());
        assert!(vm.stream::<TestStream>(alice).is_none() && vm.stream_mut::<TestStream>(alice).is_none());
        assert!(vm.stream::<TestStream>(bob).is_some());
        assert!(!vm.has_failed());
        assert_eq!(world.log(), [""; 0], "{backend:?}");
        assert_eq!(*asked.borrow(), [""; 0]);
    }
}

#[needs::wasm_clang]
#[test]
fn a_stale_root_acts_on_nothing() {
    for backend in BACKENDS {
        let mut world = World::new(backend, FailurePolicy::Reload, WAITS);
        let old = world.plugin.root();
        world.fail();
        world.request();
        world.log();
        let vm = world.plugin.vm();
        vm.on_tick(old);
        vm.on_queue_ready(old, 1);
        assert_eq!(vm.validate_configuration(old), None);
        assert!(
            matches!(vm.on_foreign_function(old, 1, Vec::new()), Err(CallError::UnknownContext(root)) if root == old)
        );
        let created = vm.create_stream(old, Box::new(TestStream::default()));
        assert!(matches!(created, Err(CallError::UnknownContext(_))));
        assert!(matches!(vm.stop_plugin(old), Err(CallError::UnknownContext(_))));
        assert_eq!(vm.stream_count(old), 0);
        assert_eq!(world.log(), [""; 0], "{backend:?}");
        let root = world.plugin.root();
        world.plugin.vm().on_tick(root);
        assert_eq!(world.log(), ["on_tick(1)"], "{backend:?}");
    }
}
