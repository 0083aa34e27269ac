//! Inspection: describes an artifact without running any of its code.
//!
//! It reads more than a loader needs, and also files that no loader accepts: it answers what a file
//! is, and why it does not load.

mod fat;
mod inspection;
#[cfg(feature = "native")]
mod native;
#[cfg(any(feature = "native", feature = "wasm"))]
mod traces;
#[cfg(feature = "wasm")]
mod wasm;

use std::path::Path;

pub use inspection::{FatPlugin, FatPluginImage, Hostcall, Inspection};

use crate::trust::FileFacts;
use crate::{Artifact, ArtifactKind, LoadError, Loader, Module};

/// Describes an artifact. Never fails or panics: unreadable parts are omitted, and `refusal` has
/// the loader's error.
///
/// The loader is asked whether it would load the artifact, which compiles a wasm module. A trust
/// policy with rules about files refuses bytes: see [`inspect_file`].
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
    if let Ok(module) = &loaded {
        inspection.pinned.clone_from(&module.info().pinned);
        inspection.limitations.clone_from(&module.info().limitations);
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
