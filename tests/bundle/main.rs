//! Fat plugins built from real plugins: readers, the part that runs, and damage.

mod choice;
mod damage;
mod inspect;
mod round_trip;

use dynvm::bundle::{BundleError, BundleWriter, this_machine};
use harness::{Backend, compile};

/// The wasm build of the probe.
fn wasm() -> Vec<u8> {
    std::fs::read(compile::plugin(Backend::Wasm, "probe.c", &[])).unwrap()
}

/// Its native build, for this machine.
fn image() -> Vec<u8> {
    std::fs::read(compile::plugin(Backend::Native, "probe.c", &[])).unwrap()
}

/// A machine other than this one, and an image marked as built for it.
fn other_image() -> (&'static str, Vec<u8>) {
    let mut image = image();
    // e_machine.
    let (name, number) = if this_machine() == "aarch64" { ("x86_64", 62) } else { ("aarch64", 183) };
    image[18] = number;
    (name, image)
}

/// A fat plugin of these images.
fn fat(images: &[(&str, &[u8])]) -> Vec<u8> {
    let wasm = wasm();
    let mut writer = BundleWriter::new(&wasm).unwrap();
    for (machine, image) in images {
        writer = writer.image(machine, image).unwrap();
    }
    writer.write().unwrap()
}

/// The same with a signature that has only the right form.
fn fat_signed(images: &[(&str, &[u8])]) -> Vec<u8> {
    let wasm = wasm();
    let mut writer = BundleWriter::new(&wasm).unwrap();
    for (machine, image) in images {
        writer = writer.image(machine, image).unwrap();
    }
    let text = "untrusted comment: u\nAAAA\ntrusted comment: by a test\nAAAA\n";
    writer.write_signed::<BundleError>(|_| Ok(text.to_owned())).unwrap()
}
