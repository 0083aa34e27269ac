//! Fat plugins: which of their parts runs.

use dynvm_abi::version::AbiVersion;

use super::{ArtifactKind, Code, Loader, Module, ModuleInfo};
use crate::bundle::{Bundle, Image, this_machine};
use crate::error::LoadError;

/// Which part of a fat plugin runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackendPreference {
    /// The native image for this machine, where there is one, it is allowed, and it loads; else the wasm module.
    #[default]
    Native,
    /// The wasm module, always. Shared objects by themselves are not affected.
    Wasm,
}

/// The part of a fat plugin that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Choice {
    /// [`ArtifactKind::Native`] or [`ArtifactKind::Wasm`].
    pub part: ArtifactKind,
    /// Why, for people: `native image for x86_64`, or why the wasm module runs instead: `native plugins are not allowed`.
    pub reason: String,
}

/// Takes an artifact apart; `None`: it is not a fat plugin.
pub(super) fn read<'a>(name: &str, bytes: &'a [u8]) -> Result<Option<Bundle<'a>>, LoadError> {
    Bundle::read(bytes).map_err(|error| LoadError::Malformed { name: name.to_owned(), what: error.to_string() })
}

/// Loads the part that is to run. `size` is that of the whole artifact.
pub(super) fn load(loader: &Loader, name: &str, bundle: &Bundle<'_>, size: usize) -> Result<Module, LoadError> {
    let native = choose_image(loader, bundle).and_then(|image| Ok((load_image(loader, name, &image)?, image.machine)));
    let (part, (code, abi_version), reason) = match native {
        Ok((loaded, machine)) => (ArtifactKind::Native, loaded, format!("native image for {machine}")),
        Err(reason) => match loader.load_code(name, ArtifactKind::Wasm, bundle.wasm()) {
            Ok(loaded) => (ArtifactKind::Wasm, loaded, reason),
            Err(error) => {
                return Err(LoadError::NoPartLoads { name: name.to_owned(), native: reason, wasm: Box::new(error) });
            }
        },
    };
    let mut info = ModuleInfo::new(name, part, size, abi_version);
    info.chosen = Some(Choice { part, reason });
    Ok(Module::new(info, code))
}

/// The image to try, or why none is tried.
fn choose_image<'a>(loader: &Loader, bundle: &Bundle<'a>) -> Result<Image<'a>, String> {
    if loader.prefer == BackendPreference::Wasm {
        return Err("wasm is preferred".to_owned());
    }
    let machine = this_machine();
    let image = bundle.image_for(machine).ok_or_else(|| format!("no image for {machine}"))?;
    image_may_be_used(loader, bundle, &image)?;
    Ok(image)
}

/// The one place where it is decided whether native code out of a fat plugin may be loaded. Nothing of it has run.
///
/// What a policy needs is at hand: the bytes that would run (`image.bytes`, `image.digest`), what a signature covers
/// (`bundle.signed_bytes()`, whose digests [`Bundle::read`] has compared with image and module), and the signature
/// (`bundle.signature()`).
///
/// # Errors
///
/// Why not, for people.
fn image_may_be_used(loader: &Loader, _bundle: &Bundle<'_>, _image: &Image<'_>) -> Result<(), String> {
    #[cfg(feature = "native")]
    return match loader.native {
        Some(_) => Ok(()),
        None => Err("native plugins are not allowed".to_owned()),
    };
    #[cfg(not(feature = "native"))]
    {
        let _ = loader;
        Err("this build has no native backend".to_owned())
    }
}

fn load_image(loader: &Loader, name: &str, image: &Image<'_>) -> Result<(Code, AbiVersion), String> {
    loader.load_code(name, ArtifactKind::Native, image.bytes).map_err(|error| {
        // The reason becomes part of a message that begins with the name.
        let text = error.to_string();
        format!("the native image does not load: {}", text.strip_prefix(&format!("{name}: ")).unwrap_or(&text))
    })
}

/// Whether one image of a fat plugin would be loaded here, if the fat plugin were loaded with native plugins preferred.
///
/// # Errors
///
/// Why not, for people.
pub(crate) fn would_load(loader: &Loader, bundle: &Bundle<'_>, image: &Image<'_>) -> Result<(), String> {
    let machine = this_machine();
    if image.machine != machine {
        return Err(format!("this machine is {machine}"));
    }
    image_may_be_used(loader, bundle, image)?;
    load_image(loader, "image", image).map(|_| ())
}
