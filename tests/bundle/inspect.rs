//! The inspection of fat plugins.

use dynvm::bundle::{Bundle, this_machine};
use dynvm::inspect::inspect;
use dynvm::{ArtifactKind, Loader, LoaderOptions};

use crate::{fat_signed, image, other_image, wasm};
use harness::loader;

#[needs::wasm_clang]
#[test]
fn its_parts() {
    let (wasm, image, (other, other_image)) = (wasm(), image(), other_image());
    let bytes = fat_signed(&[(this_machine(), &image), (other, &other_image)]);
    let of_fat = inspect(&loader(), "fat", &bytes);
    let of_wasm = inspect(&loader(), "wasm", &wasm);
    assert_eq!(of_fat.kind, Some(ArtifactKind::Wasm));
    assert_eq!(of_fat.callbacks, of_wasm.callbacks);
    assert_eq!(of_fat.custom_sections, of_wasm.custom_sections, "those of the module");
    assert_eq!((of_fat.size, of_wasm.fat.is_none()), (bytes.len(), true));
    assert_eq!(of_fat.refusal, None);

    let fat = of_fat.fat.unwrap();
    assert_eq!(fat.wasm_size, wasm.len());
    assert!(fat.signature.unwrap().contains("by a test"));
    assert_eq!(fat.chosen.unwrap().part, ArtifactKind::Native);
    let bundle = Bundle::read(&bytes).unwrap().unwrap();
    for listed in fat.images {
        let image = bundle.image_for(&listed.machine).unwrap();
        assert_eq!((listed.size, listed.digest), (image.bytes.len(), image.digest));
        let expected = (listed.machine == other).then(|| format!("this machine is {}", this_machine()));
        assert_eq!(listed.refusal, expected);
    }
}

#[needs::wasm_clang]
#[test]
fn a_loader_without_native_plugins() {
    let loader = Loader::with_options(LoaderOptions::default()).unwrap();
    let inspection = inspect(&loader, "fat", &fat_signed(&[(this_machine(), &image())]));
    let fat = inspection.fat.unwrap();
    assert_eq!(fat.images[0].refusal.as_deref(), Some("native plugins are not allowed"));
    assert_eq!((fat.chosen.unwrap().part, inspection.refusal), (ArtifactKind::Wasm, None));
}

#[needs::wasm_clang]
#[test]
fn a_damaged_one() {
    let bytes = fat_signed(&[(this_machine(), &image())]);
    let inspection = inspect(&loader(), "fat", &bytes[..bytes.len() / 2]);
    assert!(inspection.fat.is_none());
    assert!(inspection.refusal.unwrap().contains("truncated or damaged"));
}

/// Shared objects for other machines are read too, since none of their code runs.
#[test]
fn images_for_other_machines() {
    let (_, image) = other_image();
    let inspection = inspect(&loader(), "other.so", &image);
    assert!(inspection.callbacks.contains(&"proxy_on_request_headers"));
    assert!(inspection.refusal.unwrap().contains("this ELF file is for"));
}
