//! Fat plugins: the choice of the part that runs.

use std::sync::Arc;

use super::Module;
use super::input::Input;
use super::setup::Setup;
use crate::artifact::{ArtifactKind, BackendPreference, Choice};
use crate::backend::Code;
use crate::bundle::{Bundle, Image, this_machine};
use crate::error::{LoadError, with_causes};
use crate::trust::FileFacts;

/// Parses an artifact as a fat plugin; `None` if it is not one.
pub(super) fn read<'a>(name: &str, bytes: &'a [u8]) -> Result<Option<Bundle<'a>>, LoadError> {
    Bundle::read(bytes).map_err(|error| LoadError::Malformed { name: name.to_owned(), what: error.to_string() })
}

/// Loads the part that runs.
pub(super) fn load(setup: &Setup, bundle: &Bundle<'_>, input: &Input<'_>) -> Result<Module, LoadError> {
    let name = input.name;
    let native = choose_image(setup, name, bundle, input.file)
        .and_then(|image| Ok((load_image(setup, name, &image)?, image.machine)));
    let (part, code, reason) = match native {
        Ok((loaded, machine)) => (ArtifactKind::Native, loaded, format!("native image for {machine}")),
        Err(reason) => match setup.compile(ArtifactKind::Wasm, &Input::of_bytes(name, bundle.wasm())) {
            Ok(loaded) => (ArtifactKind::Wasm, loaded, reason),
            Err(error) => {
                return Err(LoadError::NoPartLoads { name: name.to_owned(), native: reason, wasm: Box::new(error) });
            }
        },
    };
    Ok(Module::new(part, input, code, Some(Choice { part, reason })))
}

/// The image to try, or the reason why none is tried.
fn choose_image<'a>(
    setup: &Setup,
    name: &str,
    bundle: &Bundle<'a>,
    file: Option<&FileFacts>,
) -> Result<Image<'a>, String> {
    if setup.prefer == BackendPreference::Wasm {
        return Err("wasm is preferred".to_owned());
    }
    let machine = this_machine();
    let image = bundle.image_for(machine).ok_or_else(|| format!("no image for {machine}"))?;
    image_may_be_used(setup, name, bundle, &image, file)?;
    Ok(image)
}

/// Checks that native code from a fat plugin may be loaded. None of it has run.
///
/// A trust policy applies its rules for native code to the image that would run. The signature is
/// that of the fat plugin: it covers the digests of all parts, which [`Bundle::read`] has compared.
///
/// # Errors
///
/// The reason, for display.
fn image_may_be_used(
    setup: &Setup,
    name: &str,
    bundle: &Bundle<'_>,
    image: &Image<'_>,
    file: Option<&FileFacts>,
) -> Result<(), String> {
    setup.backend(name, ArtifactKind::Native).map_err(|error| match error {
        LoadError::NativeNotAllowed { .. } => "native plugins are not allowed",
        _ => "this build has no native backend",
    })?;
    if let Some(policy) = &setup.trust {
        let evidence = crate::trust::Evidence {
            kind: ArtifactKind::Native,
            name,
            bytes: image.bytes,
            signed: Some(bundle.signed_bytes()),
            file,
            signature: bundle.signature(),
        };
        policy.check(&evidence).map_err(|error| with_causes(&error))?;
    }
    Ok(())
}

fn load_image(setup: &Setup, name: &str, image: &Image<'_>) -> Result<Arc<dyn Code>, String> {
    setup.compile(ArtifactKind::Native, &Input::of_bytes(name, image.bytes)).map_err(|error| {
        // The reason becomes part of a message that begins with the name already.
        let text = with_causes(&error);
        format!("the native image does not load: {}", text.strip_prefix(&format!("{name}: ")).unwrap_or(&text))
    })
}

/// Checks that this image of a fat plugin would be loaded here by a loader that prefers native
/// plugins.
///
/// # Errors
///
/// The reason, for display.
pub(super) fn would_load(
    setup: &Setup,
    name: &str,
    bundle: &Bundle<'_>,
    image: &Image<'_>,
    file: Option<&FileFacts>,
) -> Result<(), String> {
    let machine = this_machine();
    if image.machine != machine {
        return Err(format!("this machine is {machine}"));
    }
    image_may_be_used(setup, name, bundle, image, file)?;
    load_image(setup, "image", image).map(|_| ())
}
