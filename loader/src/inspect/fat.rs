//! Inspection of fat plugins.

use super::Inspection;
use crate::bundle::Bundle;
use crate::module::fat::would_load;
use crate::trust::FileFacts;
use crate::{Choice, Loader};

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

/// Records the parts of a fat plugin and returns its wasm module. Returns other bytes unchanged.
pub(super) fn read<'a>(
    inspection: &mut Inspection,
    loader: &Loader,
    bytes: &'a [u8],
    file: Option<&FileFacts>,
) -> &'a [u8] {
    let name = inspection.name.clone();
    let Ok(Some(bundle)) = Bundle::read(bytes) else { return bytes };
    let image = |image: crate::bundle::Image<'_>| FatPluginImage {
        machine: image.machine.to_owned(),
        size: image.bytes.len(),
        digest: image.digest,
        refusal: would_load(loader, &name, &bundle, &image, file).err(),
    };
    inspection.fat = Some(FatPlugin {
        wasm_size: bundle.wasm().len(),
        images: bundle.images().map(image).collect(),
        signature: bundle.signature().map(str::to_owned),
        chosen: None,
    });
    bundle.wasm()
}
