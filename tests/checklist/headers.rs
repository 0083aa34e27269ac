//! Checklist 29-32, 35-37, 40: header maps.

use dynvm::abi::types::MapType;
use dynvm::host::Headers;

use super::backend;
use harness::{Harness, TestStream, did, in_headers};

fn stream() -> TestStream {
    TestStream::with_headers([(":path", "/"), ("Accept", "a"), ("void", ""), ("accept", "b")])
}

/// Checklist 29-31, 37: absent and empty values differ; names ignore case; the first value counts.
#[super::compiler]
#[test]
fn reading() {
    let calls = [
        "proxy_get_header_map_value 0 ACCEPT", "proxy_get_header_map_value 0 void", "proxy_get_header_map_value 0 nope",
        "proxy_get_header_map_value 2 :status", "proxy_get_header_map_value 8 x", "proxy_get_header_map_size 0",
        "proxy_get_header_map_size 3", "proxy_get_header_map_size 8", "proxy_get_header_map_pairs 1",
    ];
    let expected = [
        "proxy_get_header_map_value = 0 a", "proxy_get_header_map_value = 0 null", "proxy_get_header_map_value = 1",
        "proxy_get_header_map_value = 1", "proxy_get_header_map_value = 2", "proxy_get_header_map_size = 0 4",
        "proxy_get_header_map_size = 0 0", "proxy_get_header_map_size = 2", "proxy_get_header_map_pairs = 0 null",
    ];
    assert_eq!(did(backend(), stream(), &calls), expected);
}

/// Checklist 35: serialized pairs have the exact encoding.
#[super::compiler]
#[test]
fn pairs() {
    let stream = TestStream::with_headers([("k", "vv"), ("n", "")]);
    let expected = "proxy_get_header_map_pairs = 0 %02%00%00%00%01%00%00%00%02%00%00%00%01%00%00%00%00%00%00%00k%00vv%00n%00%00";
    assert_eq!(did(backend(), stream, &["proxy_get_header_map_pairs 0"]), [expected]);
}

/// Checklist 35, 40: setting a map replaces all of it; malformed pairs set an empty map without an error.
#[super::compiler]
#[test]
fn setting_all() {
    let one = "%01%00%00%00%01%00%00%00%01%00%00%00k%00v%00";
    let wide = "%01%00%00%00%00%00%00%00%01%00%00%00%00%00%00%00%01%00%00%00%00%00%00%00k%00v%00";
    for (argument, expected) in [
        (one, Headers::from([("k", "v")])),
        // The Rust SDK up to 0.2.2 writes 64-bit numbers natively.
        (wide, Headers::from([("k", "v")])),
        ("null", Headers::new()),
        ("xyz", Headers::new()),
        ("%01%00%00%00", Headers::new()),
        ("%01%00%00%00%01%00%00%00%01%00%00%00k%00vx", Headers::new()),
        ("%01%00%00%00%01%00%00%00%01%00%00%00k%00v%00z", Headers::new()),
    ] {
        let mut harness = Harness::new(backend(), &in_headers(&[&format!("proxy_set_header_map_pairs 0 {argument}")]));
        let id = harness.stream(stream());
        harness.log();
        harness.vm.on_request_headers(id, 0, true);
        assert_eq!(harness.log()[1..], ["proxy_set_header_map_pairs = 0"], "{argument}");
        assert_eq!(harness.vm.stream::<TestStream>(id).unwrap().maps[&MapType::HttpRequestHeaders], expected, "{argument}");
    }
}

/// Checklist 40: replacing adds an absent header, removing an absent header is OK.
#[super::compiler]
#[test]
fn changing() {
    let calls = [
        "proxy_add_header_map_value 0 new 1", "proxy_replace_header_map_value 0 accept c", "proxy_replace_header_map_value 0 other x",
        "proxy_remove_header_map_value 0 VOID", "proxy_remove_header_map_value 0 nope", "proxy_add_header_map_value 0 none null",
        "proxy_add_header_map_value 2 x y", "proxy_add_header_map_value 6 x y", "proxy_add_header_map_value 9 x y",
    ];
    let mut harness = Harness::new(backend(), &in_headers(&calls));
    let id = harness.stream(stream());
    harness.log();
    harness.vm.on_request_headers(id, 0, true);
    let statuses: Vec<String> = harness.log()[1..].iter().map(|line| line.split(" = ").nth(1).unwrap().to_owned()).collect();
    assert_eq!(statuses, ["0", "0", "0", "0", "0", "0", "2", "2", "2"]);
    let expected = Headers::from([(":path", "/"), ("Accept", "c"), ("new", "1"), ("other", "x"), ("none", "")]);
    assert_eq!(harness.vm.stream::<TestStream>(id).unwrap().maps[&MapType::HttpRequestHeaders], expected);
}
