//! Checklist 14, 15, 20-26: results of callbacks, and actions deferred until they return.

use dynvm::VmConfig;
use dynvm::abi::types::{FilterDataStatus, FilterHeadersStatus, FilterStatus, FilterTrailersStatus};

use super::backend;
use harness::{Harness, TestStream, in_headers, probe, script};

/// Checklist 20: the meaning of each result of a headers callback; `StopIteration` counts only if the VM allows it.
#[super::compiler]
#[test]
fn answers_of_headers_callbacks() {
    use FilterHeadersStatus as Status;
    let cases = [
        (0, Status::Continue),
        (1, Status::StopAllIterationAndWatermark),
        (2, Status::ContinueAndEndStream),
        (3, Status::StopAllIterationAndBuffer),
        (4, Status::StopAllIterationAndWatermark),
        (77, Status::StopAllIterationAndWatermark),
    ];
    for (value, expected) in cases {
        let calls = script("on_request_headers", &[&format!("return {value}")])
            + &script("on_response_headers", &[&format!("return {value}")]);
        let mut harness = Harness::new(backend(), &calls);
        let id = harness.stream(TestStream::default());
        assert_eq!(harness.vm.on_request_headers(id, 0, true), expected);
        assert_eq!(harness.vm.on_response_headers(id, 0, true), expected);
    }
    let mut config = VmConfig::default();
    config.allow_on_headers_stop_iteration = true;
    let mut harness = Harness::of(&probe(backend(), &[]), config, &in_headers(&["return 1"]));
    let id = harness.stream(TestStream::default());
    assert_eq!(harness.vm.on_request_headers(id, 0, true), Status::StopIteration);
}

/// Checklist 21, 22: results of body, trailers and network callbacks; body callbacks continue while a stream is paused.
#[super::compiler]
#[test]
fn answers_of_body_trailers_and_network_callbacks() {
    for (value, data, trailers, network) in [
        (0, FilterDataStatus::Continue, FilterTrailersStatus::Continue, FilterStatus::Continue),
        (1, FilterDataStatus::StopIterationAndBuffer, FilterTrailersStatus::StopIteration, FilterStatus::StopIteration),
        (2, FilterDataStatus::StopIterationAndWatermark, FilterTrailersStatus::StopIteration, FilterStatus::StopIteration),
        (3, FilterDataStatus::StopIterationNoBuffer, FilterTrailersStatus::StopIteration, FilterStatus::StopIteration),
        (9, FilterDataStatus::StopIterationNoBuffer, FilterTrailersStatus::StopIteration, FilterStatus::StopIteration),
    ] {
        let calls: String = [
            "on_request_body", "on_response_body", "on_request_trailers", "on_response_trailers", "on_new_connection",
            "on_downstream_data", "on_upstream_data",
        ]
        .iter()
        .map(|callback| script(callback, &[&format!("return {value}")]))
        .collect();
        let mut harness = Harness::new(backend(), &calls);
        let id = harness.stream(TestStream::default());
        assert_eq!(harness.vm.on_request_body(id, 1, false), data);
        assert_eq!(harness.vm.on_response_body(id, 1, false), data);
        assert_eq!(harness.vm.on_request_trailers(id, 1), trailers);
        assert_eq!(harness.vm.on_response_trailers(id, 1), trailers);
        assert_eq!(harness.vm.on_new_connection(id), network);
        assert_eq!(harness.vm.on_downstream_data(id, 1, false), network);
        assert_eq!(harness.vm.on_upstream_data(id, 1, true), network);
    }
}

/// Checklist 14, 15, 23: continue and close run after the callback, in order; a bad direction is BAD_ARGUMENT.
#[super::compiler]
#[test]
fn continue_and_close_come_after_the_callback() {
    let calls = ["proxy_continue_stream 0", "proxy_close_stream 1", "proxy_continue_stream 3", "proxy_continue_stream 4", "proxy_close_stream 9"];
    let mut harness = Harness::new(backend(), &in_headers(&calls));
    let stream = TestStream::default();
    let asked = stream.asked.clone();
    let id = harness.stream(stream);
    harness.log();
    harness.vm.on_request_headers(id, 0, true);
    assert_eq!(
        harness.log()[1..],
        ["proxy_continue_stream = 0", "proxy_close_stream = 0", "proxy_continue_stream = 0", "proxy_continue_stream = 2", "proxy_close_stream = 2"]
    );
    assert_eq!(*asked.borrow(), ["continue HttpRequest", "close HttpResponse", "continue Upstream"]);
}

/// Checklist 23: a direction that the stream lacks.
#[super::compiler]
#[test]
fn a_direction_that_a_stream_lacks() {
    let stream = TestStream { stiff: true, ..TestStream::default() };
    assert_eq!(harness::did(backend(), stream, &["proxy_continue_stream 0"]), ["proxy_continue_stream = 12"]);
}

/// Checklist 24, 25: a local response stops the callback that sends it, whatever the plugin returns, and no later one.
#[super::compiler]
#[test]
fn a_local_response() {
    let respond = "proxy_send_local_response 403 why body %01%00%00%00%01%00%00%00%01%00%00%00k%00v%00 -1";
    let calls = in_headers(&[respond, "return 0"]) + &script("on_request_body", &[respond]) + &script("on_request_trailers", &[respond]);
    let mut harness = Harness::new(backend(), &calls);
    let stream = TestStream::default();
    let asked = stream.asked.clone();
    let id = harness.stream(stream);
    assert_eq!(harness.vm.on_request_headers(id, 0, true), FilterHeadersStatus::StopAllIterationAndWatermark);
    assert_eq!(harness.vm.on_response_headers(id, 0, true), FilterHeadersStatus::Continue, "only the call in which it was sent");
    assert_eq!(harness.vm.on_request_body(id, 0, true), FilterDataStatus::StopIterationNoBuffer);
    assert_eq!(harness.vm.on_request_trailers(id, 0), FilterTrailersStatus::StopIteration);
    let expected = r#"respond 403 "why" "body" [("k", "v")] -1"#;
    assert_eq!(*asked.borrow(), [expected; 3]);
}

/// Checklist 25: malformed headers are dropped; details may be null; on a root the call does nothing and returns OK.
#[super::compiler]
#[test]
fn a_local_response_with_odd_arguments() {
    let mut harness = Harness::new(
        backend(),
        &(in_headers(&["proxy_send_local_response 200 null empty nonsense 7"]) + &script("on_tick", &["proxy_send_local_response 200 null null null 0"])),
    );
    let stream = TestStream::default();
    let asked = stream.asked.clone();
    let id = harness.stream(stream);
    harness.vm.on_request_headers(id, 0, true);
    assert_eq!(*asked.borrow(), [r#"respond 200 "" "" [] 7"#]);
    harness.log();
    harness.vm.on_tick(harness.root);
    assert_eq!(harness.log()[1..], ["proxy_send_local_response = 0"]);
}

/// Checklist 24: a local response does not stop a network callback.
#[super::compiler]
#[test]
fn a_local_response_does_not_stop_a_connection() {
    let mut harness = Harness::new(backend(), &script("on_new_connection", &["proxy_send_local_response 403 null null null 0"]));
    let id = harness.stream(TestStream::default());
    assert_eq!(harness.vm.on_new_connection(id), FilterStatus::Continue);
}

/// Checklist 16, 17: hostcalls act on the effective context until the callback returns.
#[super::compiler]
#[test]
fn the_effective_context() {
    let calls = script(
        "on_tick",
        &[
            "proxy_get_header_map_value 0 who", "proxy_set_effective_context 2", "proxy_get_header_map_value 0 who",
            "proxy_continue_stream 0", "proxy_set_effective_context 3", "proxy_get_header_map_value 0 who",
            "proxy_set_effective_context 99", "proxy_set_effective_context 0", "proxy_get_header_map_value 0 who",
        ],
    );
    let mut harness = Harness::new(backend(), &calls);
    let first = TestStream::with_headers([("who", "first")]);
    let asked = first.asked.clone();
    harness.stream(first);
    harness.stream(TestStream::with_headers([("who", "second")]));
    for _ in 0..2 {
        harness.log();
        harness.vm.on_tick(harness.root);
        let expected = [
            "on_tick(1)", "proxy_get_header_map_value = 1", "proxy_set_effective_context = 0", "proxy_get_header_map_value = 0 first",
            "proxy_continue_stream = 0", "proxy_set_effective_context = 0", "proxy_get_header_map_value = 0 second",
            "proxy_set_effective_context = 2", "proxy_set_effective_context = 0", "proxy_get_header_map_value = 1",
        ];
        assert_eq!(harness.log(), expected, "also in the second round: it does not outlive the callback");
    }
    assert_eq!(*asked.borrow(), ["continue HttpRequest"; 2]);
}
