//! Headers: the input, the plugin's view and changes, the expectations.

use super::backend;
use crate::suite::{Case, fails, headers, logged, passes, result};

const INPUT: &str = "header { key: ':path' value: '/' } header { key: 'A' value: '1' } header { key: 'b' value: '' }
    header { key: 'a' value: '2' } header { key: 'B' value: '3' }";

fn request(script: &[&str], input: &str) -> dynvm_suite::TestResult {
    result(backend(), script, &format!("request_headers {{ input {{ {input} }} }}"))
}

/// One line for each name: joined, sorted, in its first spelling. No pseudo-header is added; the stream never ends with
/// its headers.
#[super::compiler]
#[test]
fn lines_are_joined_and_sorted() {
    let result = request(&["on_request_headers|proxy_get_header_map_size 0"], INPUT);
    assert_eq!(headers(&result, "request_headers"), [":path: /", "A: 1, 2", "b: 3"]);
    assert_eq!(
        logged(&result, "request_headers"),
        ["on_request_headers(2 3 0)", "proxy_get_header_map_size = 0 3"]
    );
    let empty = request(&["on_request_headers|proxy_get_header_map_pairs 0"], "");
    assert_eq!(logged(&empty, "request_headers"), ["on_request_headers(2 0 0)", "proxy_get_header_map_pairs = 0 null"]);
}

/// HTTP/1 text yields pseudo-headers, and names in lower case.
#[super::compiler]
#[test]
fn http1_text() {
    let result = request(&[], r#"content: "GET /a HTTP/1.1\nHost: h\nX-Y: z\n\nbody" header { key: "not" value: "used" }"#);
    assert_eq!(headers(&result, "request_headers"), [":authority: h", ":method: GET", ":path: /a", "x-y: z"]);
    passes(
        backend(),
        &[],
        r#"response_headers { input { content: "HTTP/1.1 404 Not Found\r\nA: b" }
           result { has_header { key: ":status" value: "404" } headers { exact: "a: b" } } }"#,
    );
    fails(backend(), &[], r#"request_headers { input { content: "POST / HTTP/1.1" } }"#, "[request_headers] the headers cannot be read: POST and PUT need");
}

/// Headers from a file beside the suite.
#[super::compiler]
#[test]
fn a_file() {
    let text = r#"test { name: "t" request_headers { input { file: "request.data" content: "no" }
        result { has_header { key: ":path" value: "/file" } } } }"#;
    let case = Case::new(backend(), &[], text).file("request.data", "GET /file HTTP/1.1\r\n\r\n");
    assert_eq!(case.run()[0].failures, []);
    let missing = Case::new(backend(), &[], text).run().remove(0);
    assert!(missing.failures[0].message.contains("request.data: cannot be read"), "{:?}", missing.failures);
}

/// Names ignore case on reading and writing; values are joined and replaced; removing an absent header is OK; a map can
/// be set whole.
#[super::compiler]
#[test]
fn what_plugins_change() {
    let result = request(
        &[
            "on_request_headers|proxy_get_header_map_value 0 a",
            "on_request_headers|proxy_get_header_map_value 0 none",
            "on_request_headers|proxy_add_header_map_value 0 b x",
            "on_request_headers|proxy_add_header_map_value 0 B y",
            "on_request_headers|proxy_replace_header_map_value 0 a z",
            "on_request_headers|proxy_replace_header_map_value 0 New 1",
            "on_request_headers|proxy_remove_header_map_value 0 :PATH",
            "on_request_headers|proxy_remove_header_map_value 0 none",
            "on_request_headers|proxy_replace_header_map_value 0 e null",
            "on_request_headers|proxy_get_header_map_value 0 e",
        ],
        "header { key: ':path' value: '/' } header { key: 'A' value: '1' } header { key: 'b' value: '' }",
    );
    assert_eq!(
        logged(&result, "request_headers")[1..],
        [
            "proxy_get_header_map_value = 0 1",
            "proxy_get_header_map_value = 1",
            "proxy_add_header_map_value = 0",
            "proxy_add_header_map_value = 0",
            "proxy_replace_header_map_value = 0",
            "proxy_replace_header_map_value = 0",
            "proxy_remove_header_map_value = 0",
            "proxy_remove_header_map_value = 0",
            "proxy_replace_header_map_value = 0",
            "proxy_get_header_map_value = 0 null",
        ]
    );
    assert_eq!(headers(&result, "request_headers"), ["A: z", "b: x, y", "e: ", "New: 1"]);
    // Two pairs with one name: count, sizes, then names and values, each with a NUL.
    let pairs = "%02%00%00%00%01%00%00%00%01%00%00%00%01%00%00%00%01%00%00%00k%00v%00K%00w%00";
    let set = format!("on_request_headers|proxy_set_header_map_pairs 0 {pairs}");
    assert_eq!(headers(&request(&[&set], INPUT), "request_headers"), ["k: v, w"]);
}

/// Only the map of the running callback exists.
#[super::compiler]
#[test]
fn maps_of_other_callbacks() {
    let result = result(
        backend(),
        &[
            "on_context_create|proxy_get_header_map_size 0",
            "on_request_headers|proxy_get_header_map_size 2",
            "on_request_headers|proxy_add_header_map_value 2 a b",
            "on_request_headers|proxy_get_header_map_size 8",
            "on_request_body|proxy_get_header_map_size 0",
            "on_response_headers|proxy_get_header_map_pairs 0",
            "on_response_headers|proxy_get_header_map_size 2",
            "on_response_headers|proxy_get_header_map_size 1",
            "on_response_headers|proxy_get_header_map_size 4",
        ],
        "request_headers {} request_body {} response_headers { input { header { key: 'a' } } }",
    );
    let size = |status: &str| format!("proxy_get_header_map_size = {status}");
    assert_eq!(logged(&result, "plugin_init")[1], size("12"), "a root has no maps at all");
    assert_eq!(logged(&result, "stream_init")[1], size("2"));
    assert_eq!(
        logged(&result, "request_headers")[1..],
        [size("2"), "proxy_add_header_map_value = 2".to_owned(), size("2")]
    );
    assert_eq!(logged(&result, "request_body")[1..], [size("2")]);
    let response = logged(&result, "response_headers");
    assert_eq!(response[1..], ["proxy_get_header_map_pairs = 2".to_owned(), size("0 1"), size("2"), size("2")]);
}

#[super::compiler]
#[test]
fn expectations() {
    let expect = |result: &str| {
        format!("request_headers {{ input {{ header {{ key: 'A' value: 'x' }} header {{ key: 'b' value: 'y' }} }} result {{ {result} }} }}")
    };
    for result in [
        "has_header { key: 'a' value: 'x' } no_header { key: 'c' value: 'y' }",
        "headers { exact: 'A: x' } headers { regex: 'b: .' } headers { regex: 'c: .*' invert: true }",
        "body { exact: '' }",
    ] {
        passes(backend(), &[], &expect(result));
    }
    for (result, message) in [
        ("has_header { key: 'a' value: 'X' }", "header \"a\" is \"x\", expected \"X\""),
        ("has_header { key: 'c' }", "header \"c\" is missing"),
        ("no_header { key: 'B' }", "header \"B\" is \"y\", expected none"),
        ("has_header { value: 'x' }", "has_header needs a key"),
        ("no_header { value: 'x' }", "no_header needs a key"),
        ("headers { exact: 'a: x' }", "expected a header \"a: x\""),
        ("headers { regex: 'A:' }", "expected a header matching"),
        ("headers { regex: 'b: y' invert: true }", "expected no header matching"),
        ("headers { regex: '(' }", "bad regex"),
        ("headers {}", "a matcher without"),
        ("headers { invert: true file: 'none' }", "cannot be read"),
    ] {
        fails(backend(), &[], &expect(result), message);
    }
}
