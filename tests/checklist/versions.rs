//! Checklist 32, 55-57: ABI versions.

use dynvm::VmConfig;
use dynvm::abi::types::FilterHeadersStatus;
use dynvm::abi::version::AbiVersion;

use super::backend;
use harness::{Harness, TestStream, in_headers, probe, script};

/// Checklist 32, 43, 55: in 0.1.0 there is no end_of_stream, an absent header is empty, and the version has calls that
/// later ones lack.
#[super::compiler]
#[test]
fn version_0_1_0() {
    let module = probe(backend(), &["ABI=010"]);
    assert_eq!(module.info().abi_version, AbiVersion::V0_1_0);
    let calls = in_headers(&[
        "proxy_get_header_map_value 0 nope", "proxy_continue_request", "proxy_continue_response", "proxy_clear_route_cache", "return 1",
    ]) + &script("on_response_headers", &["return 2"]);
    let mut harness = Harness::of(&module, VmConfig::default(), &calls);
    let stream = TestStream::default();
    let asked = stream.asked.clone();
    let id = harness.stream(stream);
    harness.log();
    assert_eq!(harness.vm.on_request_headers(id, 3, true), FilterHeadersStatus::StopAllIterationAndWatermark);
    let expected = [
        "on_request_headers(2 3)", "proxy_get_header_map_value = 0 null", "proxy_continue_request = 0", "proxy_continue_response = 0",
        "proxy_clear_route_cache = 0",
    ];
    assert_eq!(harness.log(), expected);
    assert_eq!(*asked.borrow(), ["clear route cache", "continue HttpRequest", "continue HttpResponse"]);
    assert_eq!(harness.vm.on_response_headers(id, 1, true), FilterHeadersStatus::ContinueAndEndStream);
}

/// Checklist 56: the version 0.2.0 is detected; an absent header is NOT_FOUND, and a stream can be continued.
#[super::compiler]
#[test]
fn version_0_2_0() {
    let module = probe(backend(), &["ABI=020"]);
    assert_eq!(module.info().abi_version, AbiVersion::V0_2_0);
    let mut harness = Harness::of(&module, VmConfig::default(), &in_headers(&["proxy_get_header_map_value 0 nope", "proxy_continue_stream 0"]));
    let id = harness.stream(TestStream::default());
    harness.log();
    harness.vm.on_request_headers(id, 3, true);
    assert_eq!(harness.log(), ["on_request_headers(2 3 1)", "proxy_get_header_map_value = 1", "proxy_continue_stream = 0"]);
}
