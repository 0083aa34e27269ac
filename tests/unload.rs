//! Images are unmapped when their VMs end. A separate process, so that no other test maps any.

use dynvm::VmConfig;
use harness::{Backend, Harness, TestStream, compile};

/// Mappings of images in this process.
fn mapped() -> usize {
    let marker = format!("dynvm-{}-", std::process::id());
    std::fs::read_to_string("/proc/self/maps").unwrap().matches(&marker).count()
}

/// Failed or not, in C++ or on the Rust SDK, with registered destructors and allocated memory: nothing of a VM stays
/// mapped.
#[needs::cxx]
#[test]
fn images_are_unloaded() {
    ended_vms_are_unloaded();
    #[cfg(target_arch = "x86_64")]
    failed_vms_are_unloaded();
}

#[cfg(target_arch = "x86_64")]
fn failed_vms_are_unloaded() {
    let cpp = harness::loader().load_file(compile::plugin(Backend::Native, "crash.cc", &[])).unwrap();
    let rust = harness::loader().load_file(harness::sdk::crash("unwind")).unwrap();
    let crashes = [(&cpp, ["segv", "throw", "abort", "count"]), (&rust, ["panic", "index", "exit", ""])];
    for (module, ways) in crashes {
        for how in ways.into_iter().cycle().take(20) {
            let mut harness = Harness::of(module, VmConfig::default(), how);
            let id = harness.stream(TestStream::with_headers([("k", "v")]));
            harness.vm.on_request_headers(id, 1, true);
            assert_eq!(harness.vm.has_failed(), !matches!(how, "count" | ""), "{how}");
            drop(harness);
            assert_eq!(mapped(), 0, "after {how}");
        }
    }
}

fn ended_vms_are_unloaded() {
    let module = harness::loader().load_file(compile::plugin(Backend::Native, "heap.c", &[])).unwrap();
    assert_eq!(mapped(), 0);
    for _ in 0..20 {
        let mut harness = Harness::of(&module, VmConfig::default(), "");
        let id = harness.stream(TestStream::with_headers([("k", "v")]));
        harness.vm.on_request_headers(id, 1, true);
        assert!(mapped() > 0, "it is mapped while its VM lives");
        drop(harness);
        assert_eq!(mapped(), 0);
    }
}
