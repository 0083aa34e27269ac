//! Checklist 19, 45-47, 60: HTTP and gRPC calls, and foreign functions.

use dynvm::CallError;
use dynvm::host::{Headers, HttpCallResponse};

use super::backend;
use harness::{Harness, TestStream, did, in_headers, script};

/// Checklist 45: tokens are unique and not 0; a refused call returns the ABI's error.
#[super::compiler]
#[test]
fn http_calls() {
    let map = "%01%00%00%00%05%00%00%00%01%00%00%00:path%00/%00";
    let calls = [
        format!("proxy_http_call up {map} body null 5000"),
        format!("proxy_http_call up {map} null null 0"),
        "proxy_http_call unknown null null null 0".to_owned(),
        "proxy_http_call broken null null null 0".to_owned(),
    ];
    let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
    let mut harness = Harness::new(backend(), &in_headers(&calls));
    let lines = harness.did(TestStream::default());
    assert_eq!(lines, ["proxy_http_call = 0 4", "proxy_http_call = 0 8", "proxy_http_call = 2", "proxy_http_call = 10"]);
    let made = harness.calls.http.borrow();
    assert_eq!((made[0].id.token(), made[1].id.token()), (4, 8));
    assert_eq!(made[0].root, harness.root, "the root gets the answer, also of a call from a stream");
    assert_eq!((made[0].upstream.as_slice(), made[0].body.as_slice()), (&b"up"[..], &b"body"[..]));
    assert_eq!(made[0].headers, Headers::from([(":path", "/")]));
    assert_eq!(made[0].timeout.as_millis(), 5000);
}

/// Checklist 19, 46: the answer arrives once, at the root, and is readable only in its callback.
#[super::compiler]
#[test]
fn http_answers() {
    let reads = ["proxy_get_header_map_value 6 :status", "proxy_get_buffer_bytes 4 0 100", "proxy_get_header_map_size 7"];
    let calls = in_headers(&["proxy_http_call up null null null 0"]) + &script("on_http_call_response", &reads) + &script("on_tick", &reads);
    let mut harness = Harness::new(backend(), &calls);
    harness.did(TestStream::default());
    let response = HttpCallResponse {
        headers: Headers::from([(":status", "200"), ("x", "y")]),
        body: b"answer".to_vec(),
        trailers: Headers::from([("t", "u")]),
    };
    harness.vm.on_http_call_response(harness.calls.http(4), response.clone()).unwrap();
    let expected = [
        "on_http_call_response(1 4 2 6 1)", "proxy_get_header_map_value = 0 200", "proxy_get_buffer_bytes = 0 answer",
        "proxy_get_header_map_size = 0 1",
    ];
    assert_eq!(harness.log(), expected);
    assert!(matches!(harness.vm.on_http_call_response(harness.calls.http(4), response), Err(CallError::UnknownCall(_))), "once");
    harness.vm.on_tick(harness.root);
    assert_eq!(
        harness.log()[1..],
        ["proxy_get_header_map_value = 1", "proxy_get_buffer_bytes = 1", "proxy_get_header_map_size = 0 0"],
        "not outside of the callback"
    );
}

/// Checklist 46: a failed call is an answer without headers.
#[super::compiler]
#[test]
fn a_failed_http_call() {
    let mut harness = Harness::new(backend(), &in_headers(&["proxy_http_call up null null null 0"]));
    harness.did(TestStream::default());
    harness.vm.on_http_call_response(harness.calls.http(4), HttpCallResponse::default()).unwrap();
    assert_eq!(harness.log(), ["on_http_call_response(1 4 0 0 0)"]);
}

/// Checklist 46: no answer arrives after the root is deleted.
#[super::compiler]
#[test]
fn no_answer_to_a_deleted_root() {
    let mut harness = Harness::new(backend(), &in_headers(&["proxy_http_call up null null null 0"]));
    harness.did(TestStream::default());
    harness.vm.stop_plugin(harness.root).unwrap();
    assert_eq!(*harness.calls.notes.borrow(), ["cancel all of 1"]);
    harness.log();
    assert!(harness.vm.on_http_call_response(harness.calls.http(4), HttpCallResponse::default()).is_err());
    assert!(harness.log().is_empty());
}

/// Checklist 45, 47: a unary gRPC call ends with its message.
#[super::compiler]
#[test]
fn a_grpc_call() {
    let calls = in_headers(&["proxy_grpc_call up svc method null message 1000", "proxy_grpc_call unknown s m null x 0", "proxy_grpc_call broken s m null x 0"])
        + &script("on_grpc_receive", &["proxy_get_buffer_bytes 5 0 100", "proxy_get_status"]);
    let mut harness = Harness::new(backend(), &calls);
    let lines = harness.did(TestStream::default());
    assert_eq!(lines, ["proxy_grpc_call = 0 5", "proxy_grpc_call = 4", "proxy_grpc_call = 10"]);
    assert_eq!(harness.calls.grpc.borrow()[0].message.as_deref(), Some(&b"message"[..]));
    harness.vm.on_grpc_receive(harness.calls.grpc(5), b"reply".to_vec()).unwrap();
    assert_eq!(harness.log(), ["on_grpc_receive(1 5 5)", "proxy_get_buffer_bytes = 0 reply", "proxy_get_status = 0 0 null"]);
    assert!(harness.vm.on_grpc_close(harness.calls.grpc(5), 0, Vec::new()).is_err(), "it is over");
}

/// Checklist 47: an error closes a unary call with a readable status.
#[super::compiler]
#[test]
fn a_failed_grpc_call() {
    let calls = in_headers(&["proxy_grpc_call up svc method null message 0"]) + &script("on_grpc_close", &["proxy_get_status"]);
    let mut harness = Harness::new(backend(), &calls);
    harness.did(TestStream::default());
    harness.vm.on_grpc_close(harness.calls.grpc(5), 14, b"unavailable".to_vec()).unwrap();
    assert_eq!(harness.log(), ["on_grpc_close(1 5 14)", "proxy_get_status = 0 14 unavailable"]);
}

/// Checklist 47: a gRPC stream from metadata to close.
#[super::compiler]
#[test]
fn a_grpc_stream() {
    let calls = in_headers(&["proxy_grpc_stream up svc method null", "proxy_grpc_send 6 one 0", "proxy_grpc_send 6 two 1", "proxy_grpc_send 9 x 0"])
        + &script("on_grpc_receive_initial_metadata", &["proxy_get_header_map_value 4 i"])
        + &script("on_grpc_receive_trailing_metadata", &["proxy_get_header_map_value 5 t", "proxy_get_header_map_value 4 i"]);
    let mut harness = Harness::new(backend(), &calls);
    let lines = harness.did(TestStream::default());
    assert_eq!(lines, ["proxy_grpc_stream = 0 6", "proxy_grpc_send = 0", "proxy_grpc_send = 0", "proxy_grpc_send = 1"]);
    assert_eq!(*harness.calls.notes.borrow(), ["send 6 one false", "send 6 two true"]);
    harness.vm.on_grpc_receive_initial_metadata(harness.calls.grpc(6), Headers::from([("i", "1")])).unwrap();
    harness.vm.on_grpc_receive(harness.calls.grpc(6), b"a".to_vec()).unwrap();
    harness.vm.on_grpc_receive(harness.calls.grpc(6), b"b".to_vec()).unwrap();
    harness.vm.on_grpc_receive_trailing_metadata(harness.calls.grpc(6), Headers::from([("t", "2")])).unwrap();
    harness.vm.on_grpc_close(harness.calls.grpc(6), 0, Vec::new()).unwrap();
    let expected = [
        "on_grpc_receive_initial_metadata(1 6 1)", "proxy_get_header_map_value = 0 1", "on_grpc_receive(1 6 1)", "on_grpc_receive(1 6 1)",
        "on_grpc_receive_trailing_metadata(1 6 1)", "proxy_get_header_map_value = 0 2", "proxy_get_header_map_value = 1",
        "on_grpc_close(1 6 0)",
    ];
    assert_eq!(harness.log(), expected);
}

/// Checklist 47: nothing arrives after a cancel; a close leaves a stream open for late messages.
#[super::compiler]
#[test]
fn ending_grpc_calls() {
    let calls = in_headers(&[
        "proxy_grpc_stream up s m null", "proxy_grpc_stream up s m null", "proxy_grpc_cancel 6", "proxy_grpc_close 10", "proxy_grpc_cancel 6",
        "proxy_grpc_close 77",
    ]);
    let mut harness = Harness::new(backend(), &calls);
    let lines = harness.did(TestStream::default());
    assert_eq!(lines[2..], ["proxy_grpc_cancel = 0", "proxy_grpc_close = 0", "proxy_grpc_cancel = 1", "proxy_grpc_close = 1"]);
    assert_eq!(*harness.calls.notes.borrow(), ["cancel 6", "close 10"]);
    assert!(harness.vm.on_grpc_receive(harness.calls.grpc(6), Vec::new()).is_err());
    assert!(harness.vm.on_grpc_receive(harness.calls.grpc(10), Vec::new()).is_ok());
}

/// Checklist 60: foreign functions of the stream and of the host.
#[super::compiler]
#[test]
fn foreign_functions_of_the_host() {
    let calls = ["proxy_call_foreign_function echo text", "proxy_call_foreign_function refuse x", "proxy_call_foreign_function nope x", "proxy_call_foreign_function echo null"];
    let expected = [
        "proxy_call_foreign_function = 0 text", "proxy_call_foreign_function = 2", "proxy_call_foreign_function = 1",
        "proxy_call_foreign_function = 0 null",
    ];
    assert_eq!(did(backend(), TestStream::default(), &calls), expected);
}

/// Checklist 43, 60: foreign functions of the plugin, whose arguments are readable inside the call.
#[super::compiler]
#[test]
fn foreign_functions_of_the_plugin() {
    let mut harness = Harness::new(backend(), &script("on_foreign_function", &["proxy_get_buffer_bytes 8 0 100"]));
    harness.log();
    harness.vm.on_foreign_function(harness.root, 7, b"arguments".to_vec()).unwrap();
    assert_eq!(harness.log(), ["on_foreign_function(1 7 9)", "proxy_get_buffer_bytes = 0 arguments"]);
}
