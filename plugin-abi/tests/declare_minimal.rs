//! A descriptor with only the required members. A separate program, since a symbol can be defined only once.

use dynvm_abi::description::Description;
use dynvm_abi::descriptor::StateModel;

dynvm_abi::declare_plugin_descriptor! { name: "minimal", version: "0", state: PerImage }

#[test]
fn what_is_left_out_is_absent() {
    // SAFETY: the descriptor is a static of this program.
    let description = unsafe { Description::of_loaded((&raw const dynvm_plugin_descriptor).cast()) }.unwrap();
    assert_eq!(description.name, "minimal");
    assert_eq!(description.sdk, None);
    assert_eq!(description.state_model, StateModel::PerImage);
    assert!(description.wanted_extensions.is_empty());
}
