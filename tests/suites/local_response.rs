//! Local responses: their definition, their effects, and the callbacks after one.

use super::backend;
use crate::suite::{fails, headers, logged, passes, result};

/// `count, sizes, name, value` for the two lines `e: 1` and `E: 2`.
const PAIRS: &str = "%02%00%00%00%01%00%00%00%01%00%00%00%01%00%00%00%01%00%00%00e%001%00E%002%00";

fn send(callback: &str) -> String {
    format!("{callback}|proxy_send_local_response 403 why body {PAIRS} 7")
}

/// After the call the map is that of the response; of a repeated name the second value counts; there is no `:status`.
#[super::compiler]
#[test]
fn in_headers() {
    let send = send("on_request_headers");
    let script =
        [send.as_str(), "on_request_headers|proxy_add_header_map_value 0 f 3", "on_request_headers|proxy_get_header_map_size 0"];
    let test = "request_headers { input { header { key: 'gone' value: 'x' } }
        result { immediate { http_status: 403 grpc_status: 7 details: 'why' } body { exact: 'body' } no_header { key: ':status' } } }";
    let result = result(backend(), &script, test);
    assert_eq!(result.failures, []);
    assert_eq!(headers(&result, "request_headers"), ["e: 2", "f: 3"]);
    assert_eq!(
        logged(&result, "request_headers")[1..],
        ["proxy_send_local_response = 0", "proxy_add_header_map_value = 0", "proxy_get_header_map_size = 0 2"]
    );
    let seen = result.observed.iter().find(|step| step.phase == "request_headers").unwrap();
    assert_eq!(seen.status, Some("StopAllIterationAndWatermark"), "whatever the plugin answers");
}

/// No callback follows: there is no result and no log, so expectations about them fail.
#[super::compiler]
#[test]
fn nothing_comes_after_it() {
    let send = send("on_request_headers");
    let rest = "request_body { input { content: 'x' } result { body { exact: '' } } } response_headers {} response_body {}";
    let result = result(backend(), &[&send], &format!("request_headers {{ result {{ immediate {{}} }} }} {rest}"));
    assert_eq!(result.failures, []);
    for phase in ["request_body", "response_headers", "response_body"] {
        assert_eq!(logged(&result, phase), [""; 0], "{phase}");
    }
    for expected in ["has_header { key: 'x' }", "log { regex: '.*' }", "body { exact: 'body' }"] {
        let test = format!("request_headers {{ result {{ immediate {{}} }} }} response_headers {{ result {{ {expected} }} }}");
        fails(backend(), &[&send], &test, "[response_headers]");
    }
}

/// In a request body it stops the rest and is not reported; in a response body it has no effect.
#[super::compiler]
#[test]
fn in_bodies() {
    let request = send("on_request_body");
    let result = result(
        backend(),
        &[&request],
        "chunk_size: 1 request_body { input { content: 'ab' } result { body { exact: 'a' } } } response_headers {}",
    );
    assert_eq!(result.failures, []);
    assert_eq!(logged(&result, "response_headers"), [""; 0]);
    let response = send("on_response_body");
    passes(
        backend(),
        &[&response],
        "response_body { input { content: 'a' } result { body { exact: 'a' } log { exact: 'proxy_send_local_response = 0' } } }
         response_body { input { content: 'b' } result { body { exact: 'b' } } }",
    );
}

/// In response headers; and on a root, where it returns OK without an effect.
#[super::compiler]
#[test]
fn elsewhere() {
    let response = send("on_response_headers");
    let root = send("on_configure");
    passes(
        backend(),
        &[&response, &root],
        "plugin_init { log { exact: 'proxy_send_local_response = 0' } } request_headers {}
         response_headers { result { immediate { http_status: 403 } has_header { key: 'E' value: '2' } } }",
    );
}

/// A stopped stream with a status is a local response; with neither it is none. One of them alone fails either way.
#[super::compiler]
#[test]
fn what_one_is() {
    let request = |expect: &str| format!("request_headers {{ result {{ {expect} }} }}");
    for (answer, name) in [(1, "StopAllIterationAndWatermark"), (3, "StopAllIterationAndBuffer"), (77, "StopAllIterationAndWatermark")] {
        let pause = format!("on_request_headers|return {answer}");
        fails(backend(), &[&pause], &request(""), &format!("expected none, but the plugin answered {name}"));
        fails(backend(), &[&pause], &request("immediate {}"), "expected a local response, but none was sent");
    }
    passes(backend(), &["on_request_headers|return 2"], &request(""));
    let failures = result(backend(), &[], &request("immediate { http_status: 200 }")).failures;
    let messages: Vec<_> = failures.iter().map(|failure| failure.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "expected a local response, but the plugin answered Continue",
            "expected a local response, but none was sent",
            "the local response's HTTP status is 0, expected 200",
        ]
    );
    let without_status = "on_request_headers|proxy_send_local_response 0 null null null -1";
    fails(backend(), &[without_status], &request("immediate {}"), "but none was sent");
}

/// Only fields that are set are compared; an empty text counts as set.
#[super::compiler]
#[test]
fn what_is_compared() {
    let send = send("on_request_headers");
    let expect = |immediate: &str| format!("request_headers {{ result {{ immediate {{ {immediate} }} }} }}");
    passes(backend(), &[&send], &expect(""));
    for (immediate, message) in [
        ("http_status: 404", "the local response's HTTP status is 403, expected 404"),
        ("grpc_status: 0", "the local response's gRPC status is 7, expected 0"),
        ("details: ''", "the local response's details are \"why\", expected \"\""),
    ] {
        fails(backend(), &[&send], &expect(immediate), message);
    }
    // The SDKs' -1 for no status.
    passes(
        backend(),
        &["on_request_headers|proxy_send_local_response 200 null null null -1"],
        &expect("details: '' grpc_status: 4294967295"),
    );
}
