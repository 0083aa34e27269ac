//! Inspection of fat plugins.

use super::{FatPlugin, FatPluginImage, Inspection};
use crate::Loader;
use crate::bundle::Bundle;
use crate::trust::FileFacts;

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
        refusal: loader.would_load(&name, &bundle, &image, file).err(),
    };
    inspection.fat = Some(FatPlugin {
        wasm_size: bundle.wasm().len(),
        images: bundle.images().map(image).collect(),
        signature: bundle.signature().map(str::to_owned),
        chosen: None,
    });
    bundle.wasm()
}
