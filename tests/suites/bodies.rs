//! Bodies: chunks, the plugin's view of them, and the result.

use super::backend;
use crate::suite::{Case, fails, logged, passes, result};

/// Every part ends the stream, a part of several chunks with its last one. Each callback sees its own chunk, whatever
/// earlier ones returned.
#[super::compiler]
#[test]
fn chunks() {
    let script = ["on_request_body|proxy_get_buffer_bytes 0 0 99", "on_request_body|return 1"];
    let run = |test: &str| {
        let log = "env { log_level: INFO }";
        let case = Case::new(backend(), &script, &format!("{log} test {{ name: 't' {test} }}")).log_to("log");
        let result = case.run().remove(0);
        assert_eq!(result.failures, []);
        let text = std::fs::read_to_string(case.path("log")).unwrap();
        text.lines().filter(|line| line.contains("body") || line.contains("buffer")).map(str::to_owned).collect::<Vec<_>>()
    };
    let seen = |chunks: &[(&str, u8)]| -> Vec<String> {
        let lines = chunks.iter().flat_map(|(chunk, end)| {
            [format!("on_request_body(2 {} {end})", chunk.len()), format!("proxy_get_buffer_bytes = 0 {chunk}")]
        });
        lines.collect()
    };
    let body = "request_body { input { content: 'abcdefg' } result { body { exact: 'abcdefg' } } }";
    assert_eq!(run(body), seen(&[("abcdefg", 1)]));
    assert_eq!(run(&format!("num_chunks: 3 {body}")), seen(&[("ab", 0), ("cd", 0), ("efg", 1)]));
    assert_eq!(run(&format!("chunk_size: 3 {body}")), seen(&[("abc", 0), ("def", 0), ("g", 1)]));
    assert_eq!(run(&format!("{body} request_body {{ input {{ content: 'h' }} }}")), seen(&[("abcdefg", 1), ("h", 1)]));
    assert_eq!(run("chunk_size: 3 request_body {}"), ["on_request_body(2 0 1)", "proxy_get_buffer_bytes = 0 null"]);
}

#[super::compiler]
#[test]
fn plans_that_cannot_be() {
    let body = "request_body { input { content: 'abc' } }";
    for (plan, message) in [
        ("num_chunks: 4", "[request_body] a body of 3 bytes cannot be cut into 4 chunks"),
        ("num_chunks: 0", "num_chunks is a number of chunks"),
        ("chunk_size: 0", "chunk_size is a number of bytes"),
    ] {
        fails(backend(), &[], &format!("{plan} {body}"), message);
    }
    fails(backend(), &[], &format!("num_chunks: 1 {body} {body}"), "for a body of one part");
    fails(backend(), &[], "response_body { input { file: 'none' } }", "[response_body]");
}

/// Reads are clamped; writes insert, append and replace; the result is all chunks after the plugin's changes.
#[super::compiler]
#[test]
fn buffers() {
    let result = result(
        backend(),
        &[
            "on_response_body|proxy_get_buffer_bytes 1 1 99",
            "on_response_body|proxy_get_buffer_bytes 1 9 1",
            "on_response_body|proxy_get_buffer_bytes 1 0 0",
            "on_response_body|proxy_get_buffer_bytes 0 0 9",
            "on_response_body|proxy_set_buffer_bytes 0 0 0 x",
            "on_response_body|proxy_set_buffer_bytes 1 0 0 <",
            "on_response_body|proxy_set_buffer_bytes 1 99 0 >",
            "on_response_headers|proxy_get_buffer_bytes 1 0 9",
            "on_done|proxy_get_buffer_bytes 1 0 9",
        ],
        "chunk_size: 2 response_headers {} response_body { input { content: 'abcd' } result { body { exact: '<ab><cd>' } } }",
    );
    assert_eq!(result.failures, []);
    assert_eq!(
        logged(&result, "response_body")[1..],
        [
            "proxy_get_buffer_bytes = 0 d",
            "proxy_get_buffer_bytes = 0 null",
            "proxy_get_buffer_bytes = 0 null",
            "proxy_get_buffer_bytes = 1",
            "proxy_set_buffer_bytes = 1",
            "proxy_set_buffer_bytes = 0",
            "proxy_set_buffer_bytes = 0",
        ]
    );
    assert_eq!(logged(&result, "response_headers")[1..], ["proxy_get_buffer_bytes = 1"]);
    assert_eq!(logged(&result, "stream_destroy")[1..2], ["proxy_get_buffer_bytes = 1"]);
    passes(
        backend(),
        &["on_request_body|proxy_set_buffer_bytes 0 0 4294967295 new"],
        "request_body { input { content: 'old' } result { body { exact: 'new' } body { exact: 'old' invert: true } } }",
    );
}

/// Headers, results and local responses cannot be expected of a body callback.
#[super::compiler]
#[test]
fn expectations() {
    let expect = |expect: &str| format!("request_body {{ input {{ content: 'x' }} result {{ {expect} }} }}");
    fails(backend(), &[], &expect("body { exact: 'y' }"), "expected a body \"y\"; found:\n  \"x\"");
    fails(backend(), &[], &expect("has_header { key: 'a' }"), "header \"a\" is missing");
    let sends = ["on_request_body|proxy_send_local_response 403 null null null -1"];
    let failures = result(backend(), &sends, &expect("immediate {}")).failures;
    assert_eq!(failures.len(), 2, "neither stopped nor a status: {failures:?}");
    passes(backend(), &sends, &expect("body { exact: 'x' }"));
}

/// An expected body in a file.
#[super::compiler]
#[test]
fn a_file() {
    let text = "test { name: 't' request_body { input { file: 'in' } result { body { file: 'out' } } } }";
    let case = Case::new(backend(), &["on_request_body|proxy_set_buffer_bytes 0 0 0 >"], text);
    let case = case.file("in", "text").file("out", ">text");
    assert_eq!(case.run()[0].failures, []);
}

/// The plugin's configuration is readable in every callback and never writable; the VM has none.
#[super::compiler]
#[test]
fn configurations() {
    let script = [
        "on_request_body|proxy_get_buffer_bytes 7 0 15",
        "on_request_body|proxy_set_buffer_bytes 7 0 1 x",
        "on_request_body|proxy_get_buffer_bytes 6 0 9",
    ];
    let result = result(backend(), &script, "request_body {}");
    assert_eq!(
        logged(&result, "request_body")[1..],
        ["proxy_get_buffer_bytes = 0 on_request_body", "proxy_set_buffer_bytes = 2", "proxy_get_buffer_bytes = 1"]
    );
}
