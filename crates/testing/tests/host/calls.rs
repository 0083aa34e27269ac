//! Calls that are answered by hand.

use std::time::Duration;

use dynvm_testing::{GrpcAnswer, Request};

use crate::{panics, plugin};

#[needs::wasi_clang]
#[test]
fn a_unary_call_is_answered() {
    plugin().upstream("ratings").on_each_backend(|host| {
        let stream = host.open();
        stream.request(Request::get("/unary"));
        let call = host.grpc_call("ratings");
        assert_eq!(call.call().message.as_deref(), Some(&b"which"[..]));
        assert_eq!(call.call().target.method, b"Get");
        call.message("five stars");
        stream.upstream().assert_header("x-grpc", "five stars");
        host.assert_no_call_waits();
    });
}

#[needs::wasi_clang]
#[test]
fn a_unary_call_runs_into_its_timeout() {
    plugin().upstream("ratings").on_each_backend(|host| {
        let stream = host.open();
        stream.request(Request::get("/unary"));
        host.advance(Duration::from_secs(1));
        stream.assert_local_reply(502).assert_header("grpc-status", "4").assert_header("x-seen", "yes");
        host.assert_no_call_waits();
    });
}

#[needs::wasi_clang]
#[test]
fn a_stream_goes_both_ways() {
    plugin().upstream("ratings").on_each_backend(|host| {
        let stream = host.open();
        stream.request(Request::get("/stream"));
        let call = host.grpc_call("ratings");
        assert_eq!(call.sent(), [b"first".to_vec(), b"second".to_vec()]);
        call.initial_metadata([("x", "y")]);
        call.message("one");
        assert!(!stream.is_request_held());
        call.close(0, "");
        host.assert_no_call_waits();
    });
}

#[needs::wasi_clang]
#[test]
fn prepared_answers_need_no_hand() {
    let answer = GrpcAnswer { upstream: "ratings".to_owned(), message: b"prepared".to_vec(), ..GrpcAnswer::default() };
    plugin().grpc_answer(answer).on_each_backend(|host| {
        host.send(Request::get("/unary")).assert_forwarded().assert_header("x-grpc", "prepared");
    });
}

#[needs::wasi_clang]
#[test]
fn a_call_that_was_not_made_is_missed() {
    plugin().on_each_backend(|host| {
        host.send(Request::get("/unary"));
        let said = panics(std::panic::AssertUnwindSafe(|| _ = host.grpc_call("ratings").call()));
        assert!(said.contains("Plugin::upstream") && said.contains("Grpc"), "{said}");
    });
}
