//! The effect of each answer of the authorization service, step by step, on both backends.

use std::time::Duration;

use dynvm_testing::{FilterHeadersStatus, Headers, Plugin, Request, Response, this_crate};

fn plugin() -> Plugin {
    this_crate!().configuration(r#"{"upstream": "authz", "timeout_ms": 500}"#).upstream("authz")
}

fn headers() -> Headers {
    Headers::from([
        (":method", "POST"),
        (":path", "/pay"),
        (":authority", "shop"),
        ("authorization", "Bearer x"),
        ("x-auth-subject", "mallory"),
    ])
}

#[needs::wasm_rust]
#[test]
fn a_request_waits_for_the_service_and_goes_on() {
    plugin().on_each_backend(|host| {
        let stream = host.open();
        assert_eq!(stream.request_headers(headers(), false), Some(FilterHeadersStatus::StopAllIterationAndWatermark));
        // Meanwhile the body arrives: neither the plugin nor the upstream sees it.
        assert_eq!(stream.request_body("money", true), None);
        assert!(stream.is_request_held());
        assert_eq!(stream.upstream().body(), b"");

        let call = host.http_call("authz");
        assert_eq!(call.call().timeout, Duration::from_millis(500));
        call.request().assert_header("x-original-path", "/pay").assert_header("authorization", "Bearer x");
        call.respond(Response::new(200).header("x-auth-subject", "alice"));

        assert!(!stream.is_request_held());
        let upstream = stream.upstream();
        assert_eq!(upstream.header_values("x-auth-subject"), ["alice"], "what the client claims does not count");
        upstream.assert_body("money");
        stream.response(Response::new(201).body("paid"));
        stream.client().assert_status(201).assert_body("paid");
    });
}

#[needs::wasm_rust]
#[test]
fn a_refusal_is_passed_on() {
    plugin().on_each_backend(|host| {
        let stream = host.open();
        stream.request_headers(headers(), true);
        host.http_call("authz").respond(Response::new(403));
        stream.assert_local_reply(403).assert_body("Forbidden\n");
        assert!(!stream.view().upstream.headers, "the upstream gets nothing");
    });
}

#[needs::wasm_rust]
#[test]
fn without_the_service_nobody_gets_in() {
    plugin().on_each_backend(|host| {
        let (slow, broken) = (host.open(), host.open());
        slow.request_headers(headers(), true);
        host.advance(Duration::from_millis(499));
        assert!(slow.is_request_held());
        host.advance(Duration::from_millis(1));
        slow.assert_local_reply(503).assert_body("The authorization service does not answer.\n");

        broken.request_headers(headers(), true);
        host.http_call("authz").fail();
        broken.assert_local_reply(503);
    });
}

#[needs::wasm_rust]
#[test]
fn an_unknown_service_is_found_out_at_once() {
    let plugin = this_crate!().configuration(r#"{"upstream": "nowhere"}"#);
    plugin.on_each_backend(|host| {
        host.send(Request::get("/"))
            .assert_local_reply(503)
            .assert_body("The authorization service cannot be asked.\n");
        host.assert_logged("the call to nowhere was not sent");
        assert_eq!(host.made_calls().len(), 1);
    });
}

#[needs::wasm_rust]
#[test]
fn an_answer_that_comes_after_the_client_has_gone_harms_nobody() {
    plugin().on_each_backend(|host| {
        let stream = host.open();
        stream.request_headers(headers(), true);
        let call = host.http_call("authz");
        stream.reset();
        call.respond(Response::new(200));
        host.assert_no_call_waits();
        host.send(Request::get("/next")).assert_not_forwarded();
    });
}
