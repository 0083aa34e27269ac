//! Checklist 59, 61: capability restriction, and the phases in which hostcalls are allowed.

use dynvm::{CapabilityRestriction, FailureKind, StartError, Vm, VmConfig};

use super::backend;
use harness::{Harness, TestStream, in_headers, probe};

/// Checklist 59: imports that are not listed are refused with INTERNAL_FAILURE and a log line.
#[super::compiler]
#[test]
fn imports_that_are_not_allowed() {
    let mut config = VmConfig::default();
    config.capabilities = CapabilityRestriction::only([
        "proxy_log", "proxy_get_buffer_bytes", "proxy_on_context_create", "proxy_on_vm_start", "proxy_on_configure", "proxy_on_request_headers",
    ]);
    let mut harness = Harness::of(&probe(backend(), &[]), config, &in_headers(&["proxy_get_header_map_size 0", "proxy_get_buffer_bytes 6 0 1"]));
    let expected = [
        "[Error] the plugin called proxy_get_header_map_size, which its capability restriction does not allow",
        "proxy_get_header_map_size = 10",
        "proxy_get_buffer_bytes = 0 null",
    ];
    assert_eq!(harness.did(TestStream::default()), expected);
    // Checklist 59: exports that are not listed are never called.
    let id = harness.stream(TestStream::default());
    harness.log();
    harness.vm.on_response_headers(id, 0, true);
    assert!(harness.log().is_empty());
}

/// Checklist 59: an empty list restricts nothing.
#[super::compiler]
#[test]
fn an_empty_list_allows_all() {
    assert_eq!(CapabilityRestriction::only(Vec::<String>::new()), CapabilityRestriction::default());
}

/// Checklist 61: before its start a plugin may call only proxy_log.
#[super::compiler]
#[test]
fn calls_in_start_functions() {
    let module = probe(backend(), &["START_CALLS"]);
    let Err(StartError::Failed { failure, .. }) = Vm::builder(&module).build() else {
        panic!("the start fails");
    };
    assert_eq!(failure.kind, FailureKind::Restricted);
    assert!(failure.message.contains("proxy_get_current_time_nanoseconds before it was started"), "{failure}");
}

/// Checklist 61: from its allocator a plugin may only log.
#[super::compiler]
#[test]
fn calls_from_the_allocator() {
    let module = probe(backend(), &["ALLOCATOR_CALLS"]);
    let reads = "proxy_get_header_map_value 0 k";
    let mut harness = Harness::of(&module, VmConfig::default(), &in_headers(&[reads, reads, reads]));
    let id = harness.stream(TestStream::with_headers([("k", "v")]));
    harness.vm.on_request_headers(id, 1, true);
    let failure = harness.vm.failure().expect("the VM fails");
    assert_eq!(failure.kind, FailureKind::Restricted);
    assert!(failure.message.contains("proxy_set_tick_period_milliseconds from its allocator"), "{failure}");
}
