//! Images are unmapped when their VMs end. A separate process, so that no other test maps any.

use dynvm::{Module, VmConfig};
use harness::{Backend, Harness, TestStream, compile};

/// Mappings of images in this process: those of files in memory. The private copies of libgcc_s and libstdc++ have some for as long as it
/// lives.
fn mapped() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().matches("/memfd:dynvm-image").count()
}

/// A VM that failed leaves nothing mapped, in C++ or on the Rust SDK, with registered destructors and allocated memory. The image of one that
/// ended well is used by the next, and goes with the module.
#[needs::cxx]
#[test]
fn images_are_unmapped() {
    type Ways = (fn() -> Module, [&'static str; 4]);
    let ways: &[Ways] = &[
        (plain, ["", "", "", ""]),
        (cpp, ["segv", "throw", "abort", "count"]),
        (rust, ["panic", "index", "exit", ""]),
    ];
    // The private copies of libgcc_s and libstdc++ are mapped for good.
    drop(Harness::of(&cpp(), VmConfig::default(), ""));
    let before = mapped();
    for &(module, ways) in ways {
        let module = module();
        assert_eq!(mapped(), before, "loading maps no image");
        let mut of_a_vm = 0;
        for how in ways.into_iter().cycle().take(20) {
            let mut harness = Harness::of(&module, VmConfig::default(), how);
            of_a_vm = mapped() - before;
            assert!(of_a_vm > 0);
            let id = harness.stream(TestStream::with_headers([("k", "v")]));
            harness.vm.on_request_headers(id, 1, true);
            let failed = harness.vm.has_failed();
            assert_eq!(failed, !matches!(how, "count" | ""), "{how}");
            drop(harness);
            assert_eq!(mapped(), if failed { before } else { before + of_a_vm }, "after {how:?}");
        }
        assert!(of_a_vm < 10, "one image at most was kept");
        drop(module);
        assert_eq!(mapped(), before, "the module is gone");
    }
}

fn plain() -> Module {
    harness::loader().load_file(compile::plugin(Backend::Native, "heap.c", &[])).unwrap()
}

fn cpp() -> Module {
    harness::loader().load_file(compile::plugin(Backend::Native, "crash.cc", &[])).unwrap()
}

fn rust() -> Module {
    harness::loader().load_file(harness::sdk::crash("unwind")).unwrap()
}
