//! Layouts that agree and layouts that differ, according to `abi_stable`.

#![cfg(feature = "abi-stable")]

use std::ffi::c_char;

use abi_stable::StableAbi;
use dynvm_abi::layout::{self, LAYOUT_SYMBOL, Layout, LayoutError};

dynvm_abi::declare_plugin_descriptor! { name: "layout", version: "0", state: PerImage }

#[allow(improper_ctypes, reason = "both sides are Rust: this stands for dlsym")]
unsafe extern "C" {
    /// The layout by its symbol, as a loader finds it.
    #[link_name = "dynvm_plugin_descriptor_layout"]
    static EXPORTED: Layout;
}

fn check(layout: *const Layout) -> Result<(), LayoutError> {
    // SAFETY: all layouts here are statics of this program.
    unsafe { layout::check(layout) }
}

/// Descriptors of the same name with one difference each.
mod other {
    use super::*;

    macro_rules! descriptor {
        ($module:ident { $($field:ident: $ty:ty,)* }) => {
            pub mod $module {
                use super::*;
                #[repr(C)]
                #[derive(StableAbi)]
                pub struct PluginDescriptor { $(pub $field: $ty),* }
                pub static LAYOUT: Layout = Layout::of::<PluginDescriptor>();
            }
        };
    }

    descriptor!(wider {
        struct_size: u64,
        header_version: u32,
        state_model: u32,
        flags: u32,
        name: *const c_char,
        version: *const c_char,
        sdk: *const c_char,
        wanted_extensions: *const *const c_char,
    });
    descriptor!(shorter {
        struct_size: u32,
        header_version: u32,
        state_model: u32,
        flags: u32,
        name: *const c_char,
        version: *const c_char,
        sdk: *const c_char,
    });
    descriptor!(swapped {
        header_version: u32,
        struct_size: u32,
        state_model: u32,
        flags: u32,
        name: *const c_char,
        version: *const c_char,
        sdk: *const c_char,
        wanted_extensions: *const *const c_char,
    });
}

#[test]
fn the_same_layout_passes() {
    assert_eq!(LAYOUT_SYMBOL, "dynvm_plugin_descriptor_layout");
    assert_eq!(check(&raw const EXPORTED), Ok(()));
}

#[test]
fn other_layouts_are_refused() {
    for (name, layout) in
        [("wider", &other::wider::LAYOUT), ("shorter", &other::shorter::LAYOUT), ("swapped", &other::swapped::LAYOUT)]
    {
        match check(layout) {
            Err(LayoutError::Incompatible { differences }) => {
                assert!(!differences.is_empty(), "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn another_abi_stable_is_refused_before_its_layout_is_read() {
    // The data of a plugin with another `abi_stable`: a header of another version, followed by nothing readable.
    #[repr(C)]
    struct Foreign {
        magic: [u8; 32],
        major: u32,
        minor: u32,
        layout: *const u8,
    }
    let foreign = Foreign {
        magic: abi_stable::library::AbiHeader::VALUE.magic_string,
        major: 9,
        minor: 4,
        layout: std::ptr::null(),
    };
    assert_eq!(check((&raw const foreign).cast()), Err(LayoutError::AbiStable { theirs: (9, 4) }));
    let not_abi_stable = Foreign { magic: [0; 32], ..foreign };
    assert!(check((&raw const not_abi_stable).cast()).is_err());
}
