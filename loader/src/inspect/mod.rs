//! What an artifact is, read without running any of it.
//!
//! This reads more than a loader needs, and of files that no loader takes: it is for people who want to know what they have, and why it
//! does not load.

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

/// What is known of an artifact.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Inspection {
    /// The file, or the name it goes by.
    pub name: String,
    /// Size in bytes.
    pub size: usize,
    /// What it is; `None`: no artifact.
    pub kind: Option<ArtifactKind>,
    /// The ABI versions that it marks. Hosts take the newest.
    pub abi_versions: Vec<AbiVersion>,
    /// The SDK that it was built with, where the file shows it.
    pub sdk: Option<String>,
    /// Compilers and linkers that had a part in it, where the file shows them.
    pub toolchain: Vec<String>,
    /// Exported callbacks of the ABI.
    pub callbacks: Vec<&'static str>,
    /// Exported functions of start-up and allocation.
    pub entry_points: Vec<&'static str>,
    /// Imported functions of the ABI.
    pub hostcalls: Vec<Hostcall>,
    /// Other imports: WASI functions, symbols of libraries.
    pub other_imports: Vec<String>,
    /// Libraries that a shared object needs.
    pub needed_libraries: Vec<String>,
    /// The newest version of the C library whose symbols a shared object uses.
    pub glibc: Option<String>,
    /// Linear memory of a wasm module: pages of 64 KiB at the start, and at most.
    pub memory_pages: Option<(u64, Option<u64>)>,
    /// Custom sections of a wasm module with their sizes.
    pub custom_sections: BTreeMap<String, usize>,
    /// What a shared object says of itself (`dynvm_plugin_descriptor`).
    pub descriptor: Option<Vec<(String, String)>>,
    /// What a fat plugin carries besides its wasm module, which is what all the other facts are about.
    pub fat: Option<FatPlugin>,
    /// Why it would not load; `None`: it would.
    pub refusal: Option<String>,
}

/// An imported function of the ABI.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hostcall {
    /// Its name.
    pub name: String,
    /// Why no host gives it to this plugin: of another ABI version, or not of the ABI at all.
    pub problem: Option<String>,
}

/// Reads an artifact. Whatever the bytes are, this neither fails nor panics: what cannot be read is left out, and the loader's own
/// words say what is wrong.
///
/// The loader is asked whether it would take the artifact, which for wasm compiles it. A trust policy with rules about files refuses
/// bytes: see [`inspect_file`].
pub fn inspect(loader: &Loader, name: &str, bytes: &[u8]) -> Inspection {
    inspection(loader, name, bytes, None, loader.load_bytes(name, bytes))
}

/// As [`inspect`], of a file, with all that a trust policy asks about it.
///
/// # Errors
///
/// [`LoadError::Io`]: the file, or its signature where the policy asks for one, cannot be read. No regular file, or one of more than
/// 1 GiB, is not.
pub fn inspect_file(loader: &Loader, path: &Path) -> Result<Inspection, LoadError> {
    match loader.read_file(path) {
        Ok(artifact) => {
            let loaded = loader.load_artifact(&artifact);
            Ok(inspection(loader, &artifact.name, &artifact.bytes, artifact.file.as_ref(), loaded))
        }
        Err(error @ LoadError::NotAPlugin { .. }) => Ok(Inspection {
            name: path.display().to_string(),
            // The rest of it was not read.
            size: path.metadata().map_or(0, |metadata| metadata.len() as usize),
            refusal: Some(error.to_string()),
            ..Inspection::default()
        }),
        Err(error) => Err(error),
    }
}

/// As [`inspect`], of an artifact from which `module` was loaded. It is not loaded again.
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

/// Reads what is in one artifact that is not made of several.
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
    /// Sorts an export to where it belongs.
    fn export(&mut self, name: &str) {
        if let Some(version) = AbiVersion::from_marker(name) {
            self.abi_versions.push(version);
        } else if let Some(callback) = CALLBACKS.iter().find(|callback| callback.name == name) {
            self.callbacks.push(callback.name);
        } else if let Some(entry) = ENTRY_POINTS.iter().find(|entry| entry.name == name) {
            self.entry_points.push(entry.name);
        }
    }

    /// Sorts imports to where they belong, once the ABI version is known.
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

/// The version that follows a word in some bytes, as `proxy-wasm-0.2.5/` has it: digits and dots up to the end mark.
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
