//! One test on three builds.

use std::cell::RefCell;
use std::path::Path;

use dynvm::{BackendKind, Module};
use dynvm_testing::{Plugin, Request};

#[needs::lld]
#[needs::wasm_rust]
#[test]
fn native_wasm_and_linked_in() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../link/tests/plugins/sdk-current");
    let plugin = Plugin::in_dir(dir);
    assert!(!plugin.backends().contains(&BackendKind::Null), "it is not linked");
    let plugin = plugin.linked(Module::linked(linked::shared()));
    let seen = RefCell::new(Vec::new());
    plugin.on_each_backend(|host| {
        host.send(Request::get("/count"));
        host.assert_logged("local 1 1 total 1");
        seen.borrow_mut().push(host.backend());
    });
    assert_eq!(seen.into_inner(), [BackendKind::Native, BackendKind::Wasm, BackendKind::Null]);
}

/// Once images are mapped, their unwinder walks the program's stacks too.
#[needs::lld]
#[needs::wasm_rust]
#[test]
fn a_panic_fails_the_vm_of_each() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../link/tests/plugins/sdk-old");
    let plugin = Plugin::in_dir(dir).linked(Module::linked(linked::slots())).may_fail();
    plugin.on_each_backend(|host| {
        host.send(Request::get("/abort"));
        assert!(host.failure().is_some(), "it has failed on {}", host.backend());
        assert!(format!("{:?}", host.log()).contains("out of a callback"), "{:?}", host.log());
    });
}
