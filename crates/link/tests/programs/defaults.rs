//! What is chosen without options: the state model.

use std::fs;
use std::path::Path;

use dynvm_link::{Output, Plugin, plugin};

use crate::fixture::{GNU, target, tests};

fn link(plugin: Plugin) -> (Output, String) {
    let output = plugin.link(&target(GNU)).unwrap_or_else(|error| panic!("{error:?}"));
    let source = fs::read_to_string(&output.source).unwrap();
    (output, source)
}

#[needs::cc]
#[needs::lld]
#[test]
fn a_rust_plugin_with_statics_has_one_vm_and_a_note() {
    let (output, source) = link(plugin(tests().join("plugins/sdk-current")).name("default.statics"));
    assert!(source.contains("state_model: ::dynvm::linked::StateModel::PerImage"));
    let [note] = &output.notes[..] else { panic!("{:?}", output.notes) };
    assert!(note.contains("(linked_sdk_current::behavior::TOTAL)") && note.contains(".slots("), "{note}");
}

#[needs::cc]
#[needs::lld]
#[test]
fn a_rust_plugin_without_statics_has_many_vms() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/plugins");
    let (output, source) = link(plugin(examples.join("header-rewrite")).name("default.plain"));
    assert!(source.contains("state_model: ::dynvm::linked::StateModel::PerThread"), "{:?}", output.notes);
    assert_eq!(output.notes, [""; 0]);
}

#[needs::cc]
#[needs::lld]
#[test]
fn a_c_plugin_has_one_vm_unless_its_descriptor_says_otherwise() {
    let (_, source) = link(plugin(tests().join("plugins/plain.c")).name("default.c"));
    assert!(source.contains("state_model: ::dynvm::linked::StateModel::PerImage"), "{source}");

    let dir = tempfile::tempdir().unwrap();
    let described = dir.path().join("described.c");
    fs::write(
        &described,
        "#include <dynvm/dynvm.h>\n\
         void proxy_abi_version_0_2_1(void) {}\n\
         const dynvm_plugin_descriptor_t dynvm_plugin_descriptor = {\n\
         .struct_size = sizeof(dynvm_plugin_descriptor_t), .header_version = DYNVM_VERSION, .state_model = 1, .name = \"x\"};\n",
    )
    .unwrap();
    let (_, source) = link(plugin(&described));
    assert!(source.contains("state_model: ::dynvm::linked::StateModel::PerThread"), "{source}");
    assert!(source.contains("\"dynvm_plugin_descriptor\""), "the loader can read the rest: {source}");
}
