//! Images are gone from memory when their VMs are. In a process of its own: tests of crashes leave images behind.

#[path = "checklist/compile.rs"]
mod compile;
#[allow(dead_code, reason = "shared with the checklist, which uses all of it")]
#[path = "checklist/rig.rs"]
mod rig;

use dynvm::VmConfig;
use rig::{Backend, Rig, TestStream};

/// Mappings of images in this process.
fn mapped() -> usize {
    let marker = format!("dynvm-{}-", std::process::id());
    std::fs::read_to_string("/proc/self/maps").unwrap().matches(&marker).count()
}

#[test]
fn images_are_unloaded() {
    let module = rig::loader().load_file(compile::plugin(Backend::Native, "heap.c", &[])).unwrap();
    assert_eq!(mapped(), 0);
    for _ in 0..20 {
        let mut rig = Rig::of(&module, VmConfig::default(), "");
        let id = rig.stream(TestStream::with_headers([("k", "v")]));
        rig.vm.on_request_headers(id, 1, true);
        assert!(mapped() > 0, "it is mapped while its VM lives");
        drop(rig);
        assert_eq!(mapped(), 0);
    }
}
