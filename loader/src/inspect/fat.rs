//! Fat plugins.

use super::Inspection;
use crate::bundle::Bundle;
use crate::module::fat::would_load;
use crate::trust::FileFacts;
use crate::{Choice, Loader};

/// What a fat plugin carries besides its wasm module.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct FatPlugin {
    /// Size of the wasm module in bytes.
    pub wasm_size: usize,
    /// The native images.
    pub images: Vec<FatPluginImage>,
    /// The signature as minisign prints it. It is not verified here.
    pub signature: Option<String>,
    /// Which part this loader takes, and why; `None`: none.
    pub chosen: Option<Choice>,
}

/// A native image in a fat plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FatPluginImage {
    /// The machine that it is for.
    pub machine: String,
    /// Size in bytes.
    pub size: usize,
    /// SHA-256, which has been compared with the bytes.
    pub digest: [u8; 32],
    /// Why this loader would not take it; `None`: it would.
    pub refusal: Option<String>,
}

/// Notes what a fat plugin carries. Gives its module; of anything else, the bytes as they are.
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
