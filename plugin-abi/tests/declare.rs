//! A descriptor declared in Rust reads back unchanged.

use dynvm_abi::description::Description;
use dynvm_abi::descriptor::{DESCRIPTOR_SYMBOL, PluginDescriptor, StateModel};
use dynvm_abi::version::HEADER_VERSION;

dynvm_abi::declare_plugin_descriptor! {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    sdk: "proxy-wasm-rust-sdk 0.2.5",
    state: PerThread,
    extensions: ["dynvm.one/1", concat!("com.example.", "two/2")],
}

unsafe extern "C" {
    /// The same object by its symbol, as a loader finds it.
    #[link_name = "dynvm_plugin_descriptor"]
    static EXPORTED: PluginDescriptor;
}

#[test]
fn reads_as_written() {
    // SAFETY: the descriptor is a static of this program.
    let description = unsafe { Description::of_loaded((&raw const dynvm_plugin_descriptor).cast()) }.unwrap();
    assert_eq!(description.name, "dynvm-abi");
    assert_eq!(description.version.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(description.sdk.as_deref(), Some("proxy-wasm-rust-sdk 0.2.5"));
    assert_eq!(description.state_model, StateModel::PerThread);
    assert_eq!(description.header_version, HEADER_VERSION);
    assert_eq!(description.wanted_extensions, ["dynvm.one/1", "com.example.two/2"]);
}

#[test]
fn is_exported_under_its_name() {
    assert_eq!(DESCRIPTOR_SYMBOL, "dynvm_plugin_descriptor");
    assert!(std::ptr::eq(&raw const EXPORTED, &raw const dynvm_plugin_descriptor));
}
