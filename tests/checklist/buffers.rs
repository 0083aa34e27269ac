//! Checklist 31, 37, 41-44: buffers.

use dynvm::abi::types::BufferType;
use dynvm::{PluginConfig, Vm, VmConfig};

use super::backend;
use harness::{Harness, TestStream, did, in_headers, parts, probe, script};

fn body(bytes: &[u8]) -> TestStream {
    TestStream::default().buffer(BufferType::HttpRequestBody, bytes)
}

/// Checklist 41: reads are clamped at the end; a start beyond it is OK and empty; u32::MAX reads everything.
#[super::compiler]
#[test]
fn reading() {
    let calls = [
        "proxy_get_buffer_bytes 0 0 5", "proxy_get_buffer_bytes 0 2 100", "proxy_get_buffer_bytes 0 0 4294967295",
        "proxy_get_buffer_bytes 0 1 4294967295", "proxy_get_buffer_bytes 0 11 1", "proxy_get_buffer_bytes 0 4294967295 4294967295",
        "proxy_get_buffer_bytes 0 3 0", "proxy_get_buffer_bytes 1 0 1", "proxy_get_buffer_bytes 9 0 1",
    ];
    let expected = [
        "proxy_get_buffer_bytes = 0 hello", "proxy_get_buffer_bytes = 0 llo%20world", "proxy_get_buffer_bytes = 0 hello%20world",
        "proxy_get_buffer_bytes = 0 ello%20world", "proxy_get_buffer_bytes = 0 null", "proxy_get_buffer_bytes = 0 null",
        "proxy_get_buffer_bytes = 0 null", "proxy_get_buffer_bytes = 1", "proxy_get_buffer_bytes = 2",
    ];
    assert_eq!(did(backend(), body(b"hello world"), &calls), expected);
}

/// Checklist 42: prepend, append, replace and clamp; writes to an absent buffer fail.
#[super::compiler]
#[test]
fn writing() {
    for (call, status, expected) in [
        ("proxy_set_buffer_bytes 0 0 0 >>", 0, &b">>body"[..]),
        ("proxy_set_buffer_bytes 0 4 0 <<", 0, b"body<<"),
        ("proxy_set_buffer_bytes 0 4294967295 4294967295 <<", 0, b"body<<"),
        ("proxy_set_buffer_bytes 0 0 4294967295 new", 0, b"new"),
        ("proxy_set_buffer_bytes 0 1 2 OOOO", 0, b"bOOOOy"),
        ("proxy_set_buffer_bytes 0 3 100 X", 0, b"bodX"),
        ("proxy_set_buffer_bytes 0 0 4 null", 0, b""),
        ("proxy_set_buffer_bytes 1 0 4 x", 1, b"body"),
        ("proxy_set_buffer_bytes 4 0 4 x", 1, b"body"),
        ("proxy_set_buffer_bytes 6 0 4 x", 2, b"body"),
        ("proxy_set_buffer_bytes 7 0 4 x", 2, b"body"),
        ("proxy_set_buffer_bytes 12 0 4 x", 2, b"body"),
    ] {
        let mut harness = Harness::new(backend(), &in_headers(&[call]));
        let id = harness.stream(body(b"body"));
        harness.log();
        harness.vm.on_request_headers(id, 0, true);
        assert_eq!(harness.log()[1..], [format!("proxy_set_buffer_bytes = {status}")], "{call}");
        assert_eq!(harness.vm.stream::<TestStream>(id).unwrap().buffers[&BufferType::HttpRequestBody], expected, "{call}");
    }
}

/// Checklist 44: `get_buffer_status` reports the size of a buffer.
#[super::compiler]
#[test]
fn status() {
    let calls = ["proxy_get_buffer_status 0", "proxy_get_buffer_status 2", "proxy_get_buffer_status 20"];
    let expected = ["proxy_get_buffer_status = 0 4", "proxy_get_buffer_status = 1", "proxy_get_buffer_status = 2"];
    assert_eq!(did(backend(), body(b"body"), &calls), expected);
}

/// Checklist 43: the configurations of VM and plugin are readable in their start callbacks.
#[super::compiler]
#[test]
fn configurations() {
    let calls = script("on_vm_start", &["proxy_get_buffer_bytes 6 0 100"]) + &script("on_configure", &["proxy_get_buffer_bytes 7 0 9"]);
    let parts = parts();
    let log = parts.log.clone();
    let mut config = VmConfig::default();
    config.configuration = Some(b"of the VM".to_vec());
    let mut vm = Vm::builder(&probe(backend(), &[])).config(config).services(parts.services).build().unwrap();
    vm.start_plugin(PluginConfig::named("p").configuration(calls.clone())).unwrap();
    let log: Vec<String> = log.take().into_iter().map(|(_, text)| text).collect();
    let expected = [
        "on_vm_start(1 9)".to_owned(),
        "proxy_get_buffer_bytes = 0 of%20the%20VM".to_owned(),
        format!("on_configure(1 {})", calls.len()),
        "proxy_get_buffer_bytes = 0 on_vm_sta".to_owned(),
    ];
    assert_eq!(log[3..], expected);
}
