//! Inspection: describes an artifact without running any of its code.
//!
//! It reads more than a loader needs, and also files that no loader accepts: it answers what a file
//! is, and why it does not load.

mod fat;
#[cfg(feature = "native")]
mod native;
#[cfg(feature = "wasm")]
mod wasm;

use std::collections::BTreeMap;
use std::path::Path;

use dynvm_abi::table::{self, CALLBACKS, ENTRY_POINTS};
use dynvm_abi::version::AbiVersion;

pub use fat::{FatPlugin, FatPluginImage};

use crate::trust::FileFacts;
use crate::{Artifact, ArtifactKind, LoadError, Loader, Module};

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

/// Describes an artifact. Never fails or panics: unreadable parts are omitted, and `refusal` has
/// the loader's error.
///
/// The loader is asked whether it would load the artifact, which compiles a wasm module. A trust
/// policy with rules about files refuses bytes: see [`inspect_file`].
/// bytes: see [`inspect_file`].
pub fn inspect(loader: &Loader, name: &str, bytes: &[u8]) -> Inspection {
    inspection(loader, name, bytes, None, loader.load_bytes(name, bytes))
}

/// Like [`inspect`], for a file, with everything that a trust policy needs to know about it.
///
/// # Errors
///
/// [`LoadError::Io`]: the file, or the signature that the policy requires, cannot be read; it is
/// not a regular file, or is larger than 1 GiB.
pub fn inspect_file(loader: &Loader, path: &Path) -> Result<Inspection, LoadError> {
    match loader.read_file(path) {
        Ok(artifact) => {
            let loaded = loader.load_artifact(&artifact);
            Ok(inspection(loader, &artifact.name, &artifact.bytes, artifact.file.as_ref(), loaded))
        }
        Err(error @ LoadError::NotAPlugin { .. }) => Ok(Inspection {
            name: path.display().to_string(),
            // Only the first bytes were read.
            size: path.metadata().map_or(0, |metadata| metadata.len() as usize),
            refusal: Some(error.to_string()),
            ..Inspection::default()
        }),
        Err(error) => Err(error),
    }
}

/// Like [`inspect`], for an artifact from which `module` was loaded. It is not loaded again.
pub fn inspect_loaded(loader: &Loader, artifact: &Artifact, module: &Module) -> Inspection {
    inspection(loader, &artifact.name, &artifact.bytes, artifact.file.as_ref(), Ok(module.clone()))
}

fn inspection(
    loader: &Loader,
    name: &str,
    bytes: &[u8],
    file: Option<&FileFacts>,
    loaded: Result<Module, LoadError>,
) -> Inspection {
    let mut inspection = Inspection { name: name.to_owned(), size: bytes.len(), ..Inspection::default() };
    let module = fat::read(&mut inspection, loader, bytes, file);
    read(&mut inspection, module);
    if let (Some(fat), Ok(module)) = (&mut inspection.fat, &loaded) {
        fat.chosen.clone_from(&module.info().chosen);
    }
    inspection.refusal = loaded.err().map(|error| crate::with_causes(&error));
    inspection
}

/// Describes one artifact that is not a fat plugin.
fn read(inspection: &mut Inspection, bytes: &[u8]) {
    match ArtifactKind::of(bytes) {
        #[cfg(feature = "native")]
        Ok(ArtifactKind::Native) => {
            inspection.kind = Some(ArtifactKind::Native);
            native::read(inspection, bytes);
        }
        Ok(kind) => {
            inspection.kind = Some(kind);
            #[cfg(feature = "wasm")]
            if kind == ArtifactKind::Wasm {
                wasm::read(inspection, bytes);
            }
        }
        Err(_) => {}
    }
}

impl Inspection {
    /// Adds an export to its category.
    #[cfg_attr(not(any(feature = "native", feature = "wasm")), expect(dead_code, reason = "only files are inspected"))]
    fn export(&mut self, name: &str) {
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
    fn imports<'a>(&mut self, names: impl Iterator<Item = (bool, &'a str)>) {
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

/// The version that follows a word, as in `proxy-wasm-0.2.5/`: digits and dots up to the end mark.
fn version_after(bytes: &[u8], word: &[u8], end: &[u8]) -> Option<String> {
    bytes.windows(word.len()).enumerate().filter(|(_, window)| *window == word).find_map(|(at, _)| {
        let rest = &bytes[at + word.len()..];
        let len = rest.iter().take(24).position(|byte| !(byte.is_ascii_alphanumeric() || b".-+".contains(byte)))?;
        let version = std::str::from_utf8(&rest[..len]).ok()?;
        (version.starts_with(|first: char| first.is_ascii_digit()) && rest[len..].starts_with(end))
            .then(|| version.to_owned())
    })
}

/// The SDK that left traces in an artifact.
#[cfg_attr(not(any(feature = "native", feature = "wasm")), expect(dead_code, reason = "only files are inspected"))]
fn find_sdk(bytes: &[u8]) -> Option<String> {
    let rust = version_after(bytes, b"/proxy-wasm-", b"/src/");
    rust.map(|version| format!("proxy-wasm {version} (Rust)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_paths() {
        let bytes = b"xx/proxy-wasm-sdk/ /r/proxy-wasm-0.2.5/src/dispatcher.rs\0";
        assert_eq!(find_sdk(bytes).as_deref(), Some("proxy-wasm 0.2.5 (Rust)"));
        assert_eq!(find_sdk(b"/proxy-wasm-"), None);
        assert_eq!(find_sdk(b"/proxy-wasm-9"), None);
    }
}
