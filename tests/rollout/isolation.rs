//! A shadow gets recorded answers, and its actions have no effect outside.

use std::time::Duration;

use dynvm_rollout::rollout::Aspect;

use crate::{BOTH, Two};
use harness::{TestStream, lines};

#[needs::wasm_clang]
#[test]
fn effects_happen_once() {
    let script = "on_configure|proxy_define_metric 0 hits\non_request_headers|proxy_increment_metric 4 1\n\
                  on_request_headers|proxy_get_shared_data key\non_request_headers|proxy_set_shared_data key value 0\n\
                  on_configure|proxy_register_shared_queue q\non_request_headers|proxy_enqueue_shared_queue 1 element\n\
                  on_request_headers|proxy_http_call authz empty body empty 1000\n\
                  on_request_headers|proxy_set_tick_period_milliseconds 10\n\
                  on_request_headers|proxy_send_local_response 403 why no empty -1\n\
                  on_request_body|proxy_close_stream 0\n";
    for arms in BOTH {
        let mut two = Two::new(arms, [script, script]);
        let asked = two.request();
        let seen = two.seen();
        assert_eq!(seen.first, []);
        assert_eq!(seen.shadow.same, 1);
        assert_eq!(asked, ["respond 403 \"why\" \"no\" [] -1", "close HttpRequest"]);
        assert_eq!(two.world.calls.http.borrow().len(), 1);
        assert_eq!(two.world.timers.0.borrow().len(), 1);
        assert_eq!(two.world.waker.0.lock().unwrap().len(), 1, "one element is enqueued");
        let log = lines(&two.world.log);
        assert_eq!(log.iter().filter(|line| line.starts_with("on_request_headers(")).count(), 1, "{log:?}");
        assert!(two.world.services.shared_data.get("vm", b"key").is_some());
        assert_eq!(two.world.services.metrics.get(4), Ok(1));
    }
}

/// The state of the host changes before the shadow runs; the shadow sees the recorded state.
#[needs::wasm_clang]
#[test]
fn reads_are_answered_as_they_were() {
    let script = "on_request_headers|proxy_get_shared_data key\non_request_headers|proxy_get_current_time_nanoseconds\n\
                  on_request_headers|proxy_get_property a%00b\non_request_headers|proxy_call_foreign_function echo hello\n\
                  on_request_body|proxy_get_property a%00b\n";
    for arms in BOTH {
        let mut two = Two::new(arms, [script, script]);
        let world = two.world.services.clone();
        world.shared_data.set("vm", b"key", b"before", 0).unwrap();
        let mut stream = TestStream::with_headers([(":path", "/")]);
        stream.properties.insert(b"a\0b".to_vec(), b"property".to_vec());
        let stream = two.stream(stream);
        two.worker.call(stream, |vm, id| vm.on_request_headers(id, 1, false));
        two.worker.call(stream, |vm, id| vm.on_request_body(id, 0, true));
        world.shared_data.set("vm", b"key", b"after", 0).unwrap();
        two.world.clock.advance(Duration::from_secs(60));
        two.worker.end(stream);
        let seen = two.seen();
        // The probe logs the values it reads, and logs are compared.
        assert_eq!(seen.first, []);
        assert_eq!(seen.shadow.same, 1);
        let log = lines(&two.world.log);
        assert!(log.iter().any(|line| line == "proxy_get_shared_data = 0 before"), "{log:?}");
    }
}

#[needs::wasm_clang]
#[test]
fn a_read_that_was_not_made_has_no_answer() {
    for arms in BOTH {
        let mut two = Two::new(arms, ["", "on_request_headers|proxy_get_shared_data key"]);
        two.world.services.shared_data.set("vm", b"key", b"secret", 0).unwrap();
        two.request();
        let reads = two.seen().first.into_iter().find(|divergence| divergence.aspect == Aspect::Reads).unwrap();
        assert_eq!(reads.shadowed, r#"proxy_get_shared_data("key")"#);
    }
}
