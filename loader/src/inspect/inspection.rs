//! What is known of an artifact.

use std::collections::BTreeMap;

use dynvm_abi::table::{self, CALLBACKS, ENTRY_POINTS};
use dynvm_abi::version::AbiVersion;

use crate::{ArtifactKind, Choice, Limitation, PinReason};

/// Description of an artifact.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Inspection {
    /// The path, or the name passed in.
    pub name: String,
    /// Size of the file in bytes.
    pub size: usize,
    /// The format; `None` if the bytes are not an artifact.
    pub kind: Option<ArtifactKind>,
    /// The ABI versions that the artifact declares. Hosts use the newest.
    pub abi_versions: Vec<AbiVersion>,
    /// The SDK that the artifact was built with, if it left traces.
    pub sdk: Option<String>,
    /// Compilers and linkers that built the artifact, if they left traces.
    pub toolchain: Vec<String>,
    /// Exported callbacks of the ABI.
    pub callbacks: Vec<&'static str>,
    /// Exported functions for start-up and allocation.
    pub entry_points: Vec<&'static str>,
    /// Imported hostcalls.
    pub hostcalls: Vec<Hostcall>,
    /// Other imports: WASI functions, or symbols of libraries.
    pub other_imports: Vec<String>,
    /// Libraries that a shared object is linked with.
    pub needed_libraries: Vec<String>,
    /// The newest version of glibc whose symbols a shared object uses.
    pub glibc: Option<String>,
    /// Linear memory of a wasm module in pages of 64 KiB: initial, and maximum if declared.
    pub memory_pages: Option<(u64, Option<u64>)>,
    /// Custom sections of a wasm module, with their sizes in bytes.
    pub custom_sections: BTreeMap<String, usize>,
    /// Fields of a shared object's `dynvm_plugin_descriptor`.
    pub descriptor: Option<Vec<(String, String)>>,
    /// The other parts of a fat plugin. All other fields describe its wasm module.
    pub fat: Option<FatPlugin>,
    /// The reason why this loader would not load the artifact; `None` if it would.
    pub refusal: Option<String>,
    /// Why VMs of the artifact have to stay on their threads; empty if they may move, or if the artifact would not load.
    pub pinned: Vec<PinReason>,
    /// The protections that VMs of the artifact lack, each with the reason.
    pub limitations: Vec<Limitation>,
}

/// An imported function of the ABI.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hostcall {
    /// Its name.
    pub name: String,
    /// The reason why no host provides it to this plugin: it belongs to another ABI version, or to
    /// none.
    pub problem: Option<String>,
}

/// The parts of a fat plugin besides its wasm module.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct FatPlugin {
    /// Size of the wasm module in bytes.
    pub wasm_size: usize,
    /// The native images.
    pub images: Vec<FatPluginImage>,
    /// The signature as minisign prints it. It is not verified here.
    pub signature: Option<String>,
    /// The part that this loader would run, with the reason; `None` if neither loads.
    pub chosen: Option<Choice>,
}

/// A native image in a fat plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FatPluginImage {
    /// The image's machine.
    pub machine: String,
    /// Size in bytes.
    pub size: usize,
    /// SHA-256 of the image; it matches the bytes.
    pub digest: [u8; 32],
    /// The reason why this loader would not run the image; `None` if it would.
    pub refusal: Option<String>,
}

impl Inspection {
    /// Adds an export to its category.
    #[cfg_attr(not(any(feature = "native", feature = "wasm")), expect(dead_code, reason = "only files are inspected"))]
    pub(super) fn export(&mut self, name: &str) {
        if let Some(version) = AbiVersion::from_marker(name) {
            self.abi_versions.push(version);
        } else if let Some(callback) = CALLBACKS.iter().find(|callback| callback.name == name) {
            self.callbacks.push(callback.name);
        } else if let Some(entry) = ENTRY_POINTS.iter().find(|entry| entry.name == name) {
            self.entry_points.push(entry.name);
        }
    }

    /// Adds imports to their categories. Needs the ABI version.
    #[cfg_attr(not(any(feature = "native", feature = "wasm")), expect(dead_code, reason = "only files are inspected"))]
    pub(super) fn imports<'a>(&mut self, names: impl Iterator<Item = (bool, &'a str)>) {
        let version = self.abi_versions.iter().max().copied();
        for (may_be_hostcall, name) in names {
            if !may_be_hostcall {
                self.other_imports.push(name.to_owned());
                continue;
            }
            let problem = match (table::hostcall(name), version) {
                (None, _) => Some("not a function of the ABI".to_owned()),
                (Some(hostcall), Some(version)) if !hostcall.in_version(version) => {
                    Some(format!("only in {}", hostcall.versions))
                }
                _ => None,
            };
            self.hostcalls.push(Hostcall { name: name.to_owned(), problem });
        }
    }
}
