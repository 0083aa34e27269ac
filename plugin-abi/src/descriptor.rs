//! The metadata of a plugin: the layout of `dynvm/descriptor.h`.
//!
//! The descriptor is optional and native only. It is a data symbol, so that a host can read it from the file before it decides to load;
//! [`description`](crate::description) does that, and reads loaded ones too. It describes and grants nothing.

use std::ffi::c_char;

/// The name of the symbol that a plugin exports: an object of type [`PluginDescriptor`].
pub const DESCRIPTOR_SYMBOL: &str = "dynvm_plugin_descriptor";

/// The descriptor, as it lies in the plugin (`dynvm_plugin_descriptor_t`).
///
/// Members are only ever added at the end; a reader checks [`struct_size`](Self::struct_size) before it reads one.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "abi-stable", derive(abi_stable::StableAbi))]
pub struct PluginDescriptor {
    /// The size of this struct as the plugin knows it.
    pub struct_size: u32,
    /// [`HEADER_VERSION`](crate::version::HEADER_VERSION) that the plugin was built with.
    pub header_version: u32,
    /// A [`StateModel`] as a number: a plugin may write any value.
    pub state_model: u32,
    /// Reserved, 0.
    pub flags: u32,
    /// The name of the plugin in UTF-8; not null.
    pub name: *const c_char,
    /// The version of the plugin in UTF-8, or null.
    pub version: *const c_char,
    /// The SDK and its version in UTF-8, or null.
    pub sdk: *const c_char,
    /// Ids of wanted extensions, ending with a null pointer, or null.
    pub wanted_extensions: *const *const c_char,
}

// SAFETY: the struct is plain data that is never written after its creation. Its pointers are read-only, and reading
// through them is unsafe by itself.
unsafe impl Sync for PluginDescriptor {}

// SAFETY: as for `Sync`; it owns nothing.
unsafe impl Send for PluginDescriptor {}

// The header promises these offsets for 64-bit platforms, where native plugins run.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use std::mem::{align_of, offset_of};
    assert!(offset_of!(PluginDescriptor, struct_size) == 0);
    assert!(offset_of!(PluginDescriptor, header_version) == 4);
    assert!(offset_of!(PluginDescriptor, state_model) == 8);
    assert!(offset_of!(PluginDescriptor, flags) == 12);
    assert!(offset_of!(PluginDescriptor, name) == 16);
    assert!(offset_of!(PluginDescriptor, version) == 24);
    assert!(offset_of!(PluginDescriptor, sdk) == 32);
    assert!(offset_of!(PluginDescriptor, wanted_extensions) == 40);
    assert!(size_of::<PluginDescriptor>() == 48);
    assert!(align_of::<PluginDescriptor>() == 8);
};

/// Where a plugin keeps its state, which decides how many VMs one image in memory can serve (`dynvm_state_model_t`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
#[non_exhaustive]
pub enum StateModel {
    /// In plain statics: every VM gets a private image. Always right.
    #[default]
    PerImage = 0,
    /// In thread-locals only: one VM per thread. A host may share one image between threads, and still runs the start functions of one
    /// image one after the other.
    PerThread = 1,
}

impl StateModel {
    /// The model that a number stands for. A number from a newer plugin means [`PerImage`](Self::PerImage), which is right for all.
    pub const fn from_u32(value: u32) -> StateModel {
        match value {
            1 => StateModel::PerThread,
            _ => StateModel::PerImage,
        }
    }
}
