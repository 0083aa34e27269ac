//! Checking the layout of the descriptor when a plugin is loaded, with `abi_stable`.
//!
//! A plugin in Rust that is built with the feature `abi-stable` exports, beside its descriptor, a full description of the descriptor's
//! type; [`check`] compares it with the type of this host. The offsets asserted in the headers and in
//! [`descriptor`](crate::descriptor) give the same guarantee at build time and for every language, so this is for those who want the
//! proof at load time too. `abi_stable` has had no release since 2023: it is off by default, runs once per load, and nothing on the path
//! of a request knows it. See `docs/abi-policy.md`.

use std::fmt;

use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::{CheckingGlobals, check_layout_compatibility_with_globals};
use abi_stable::library::AbiHeader;
use abi_stable::type_layout::TypeLayout;

use crate::descriptor::PluginDescriptor;

/// The name of the symbol that a plugin exports: an object of type [`Layout`].
pub const LAYOUT_SYMBOL: &str = "dynvm_plugin_descriptor_layout";

/// The layout of a type, as it lies in the plugin.
#[repr(C)]
pub struct Layout {
    // Must come first, and may be read before the comparison: it says whether both sides mean the same by `TypeLayout`.
    abi_stable: AbiHeader,
    layout: &'static TypeLayout,
}

impl Layout {
    /// The layout of a type.
    pub const fn of<T: StableAbi>() -> Layout {
        Layout { abi_stable: AbiHeader::VALUE, layout: T::LAYOUT }
    }
}

/// Why a layout was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayoutError {
    /// The plugin has another version of `abi_stable`, whose layouts this version cannot read.
    AbiStable {
        /// Major and minor version of the ABI of `abi_stable` that the plugin has.
        theirs: (u32, u32),
    },
    /// The types differ.
    Incompatible {
        /// The difference as described by `abi_stable`. The wording is not stable.
        differences: String,
    },
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LayoutError::AbiStable { theirs: (major, minor) } => write!(
                f,
                "the plugin's layout is that of abi_stable {major}.{minor}, this host has {}.{}",
                AbiHeader::VALUE.abi_major,
                AbiHeader::VALUE.abi_minor
            ),
            LayoutError::Incompatible { differences } => {
                write!(f, "the plugin's descriptor has another layout: {differences}")
            }
        }
    }
}

impl std::error::Error for LayoutError {}

/// Compares the layout that a plugin exports with that of [`PluginDescriptor`] here.
///
/// # Safety
///
/// `theirs` is the address of the symbol [`LAYOUT_SYMBOL`] of an image that is trusted and stays mapped during the call. The comparison
/// runs functions of the plugin.
pub unsafe fn check(theirs: *const Layout) -> Result<(), LayoutError> {
    // SAFETY: the caller's promise. Only the header is read, whose layout `abi_stable` never changes.
    let header = unsafe { &(*theirs).abi_stable };
    if !header.is_valid() {
        return Err(LayoutError::AbiStable { theirs: (header.abi_major, header.abi_minor) });
    }
    // SAFETY: the caller's promise; since the headers agree, the rest has the type that is known here.
    let layout = unsafe { (*theirs).layout };
    // Separate tables for each check: those that `abi_stable` shares would keep pointers into the image after it is
    // unloaded. For the same reason the error is returned as text.
    check_layout_compatibility_with_globals(PluginDescriptor::LAYOUT, layout, &CheckingGlobals::new())
        .map_err(|errors| LayoutError::Incompatible { differences: errors.to_string() })
}
