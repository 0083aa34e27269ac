//! Fat plugins: which of their parts runs.

use dynvm_abi::version::AbiVersion;

use super::{Code, Loader, Module};
use crate::artifact::{ArtifactKind, BackendPreference, Choice, ModuleInfo};
use crate::bundle::{Bundle, Image, this_machine};
use crate::error::LoadError;
use crate::trust::FileFacts;

/// Takes an artifact apart; `None`: it is not a fat plugin.
pub(super) fn read<'a>(name: &str, bytes: &'a [u8]) -> Result<Option<Bundle<'a>>, LoadError> {
    Bundle::read(bytes).map_err(|error| LoadError::Malformed { name: name.to_owned(), what: error.to_string() })
}

/// Loads the part that is to run. `artifact` is all of it.
pub(super) fn load(
    loader: &Loader,
    name: &str,
    bundle: &Bundle<'_>,
    artifact: &[u8],
    file: Option<&FileFacts>,
) -> Result<Module, LoadError> {
    let native = choose_image(loader, name, bundle, file)
        .and_then(|image| Ok((load_image(loader, name, &image)?, image.machine)));
    let (part, (code, abi_version), reason) = match native {
        Ok((loaded, machine)) => (ArtifactKind::Native, loaded, format!("native image for {machine}")),
        Err(reason) => match loader.load_code(name, ArtifactKind::Wasm, bundle.wasm()) {
            Ok(loaded) => (ArtifactKind::Wasm, loaded, reason),
            Err(error) => {
                return Err(LoadError::NoPartLoads { name: name.to_owned(), native: reason, wasm: Box::new(error) });
            }
        },
    };
    let mut info = ModuleInfo::new(name, part, artifact, abi_version);
    info.chosen = Some(Choice { part, reason });
    Ok(Module::new(info, code))
}

/// The image to try, or why none is tried.
fn choose_image<'a>(
    loader: &Loader,
    name: &str,
    bundle: &Bundle<'a>,
    file: Option<&FileFacts>,
) -> Result<Image<'a>, String> {
    if loader.prefer == BackendPreference::Wasm {
        return Err("wasm is preferred".to_owned());
    }
    let machine = this_machine();
    let image = bundle.image_for(machine).ok_or_else(|| format!("no image for {machine}"))?;
    image_may_be_used(loader, name, bundle, &image, file)?;
    Ok(image)
}

/// Whether native code out of a fat plugin may be loaded. Nothing of it has run.
///
/// A trust policy applies its rules for native code to the bytes that would run; a signature is that in the fat plugin, over the digests
/// of all its parts, which [`Bundle::read`] has compared.
///
/// # Errors
///
/// Why not, for people.
fn image_may_be_used(
    loader: &Loader,
    name: &str,
    bundle: &Bundle<'_>,
    image: &Image<'_>,
    file: Option<&FileFacts>,
) -> Result<(), String> {
    #[cfg(feature = "native")]
    if loader.native.is_none() {
        return Err("native plugins are not allowed".to_owned());
    }
    #[cfg(not(feature = "native"))]
    return Err("this build has no native backend".to_owned());
    #[cfg(feature = "native")]
    if let Some(policy) = loader.trust_policy() {
        let evidence = crate::trust::Evidence {
            kind: ArtifactKind::Native,
            name,
            bytes: image.bytes,
            signed: Some(bundle.signed_bytes()),
            file,
            signature: bundle.signature(),
        };
        policy.check(&evidence).map_err(|error| error.to_string())?;
    }
    #[cfg(feature = "native")]
    Ok(())
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
pub(crate) fn would_load(
    loader: &Loader,
    name: &str,
    bundle: &Bundle<'_>,
    image: &Image<'_>,
    file: Option<&FileFacts>,
) -> Result<(), String> {
    let machine = this_machine();
    if image.machine != machine {
        return Err(format!("this machine is {machine}"));
    }
    image_may_be_used(loader, name, bundle, image, file)?;
    load_image(loader, "image", image).map(|_| ())
}
