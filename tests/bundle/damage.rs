//! Damaged fat plugins are refused, without a panic.

use dynvm::bundle::{Bundle, BundleError, this_machine};
use dynvm::inspect::inspect;

use crate::{fat_signed, image, wasm};
use harness::loader;

/// A fat plugin, and the offsets of its headers: those of the image, and from the manifest to the end of the signature.
fn real() -> (Vec<u8>, Vec<usize>) {
    let (wasm, image) = (wasm().len(), image());
    let bytes = fat_signed(&[(this_machine(), &image)]);
    let image_at = bytes.windows(image.len()).position(|window| window == image).unwrap();
    let headers = (wasm..image_at).chain(image_at + image.len()..bytes.len()).collect();
    (bytes, headers)
}

#[needs::wasm_clang]
#[test]
fn every_bit_of_the_headers() {
    let (bytes, headers) = real();
    let signature = bytes.len() - 70;
    assert!(headers.len() > 200);
    for at in headers {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            // The trust policy checks the content of the signature.
            if let Ok(read) = Bundle::read(&changed) {
                assert!(at >= signature, "bit {bit} of byte {at:#x} is noticed: {read:?}");
            }
        }
    }
}

#[needs::wasm_clang]
#[test]
fn every_truncation() {
    let (bytes, headers) = real();
    let (wasm, signature) = (wasm().len(), bytes.len() - 100);
    for len in headers.into_iter().chain((wasm..bytes.len()).step_by(101)) {
        match Bundle::read(&bytes[..len]) {
            Ok(None) => assert_eq!(len, wasm, "the module alone"),
            Ok(Some(bundle)) => assert!(len > signature && bundle.signature().is_none(), "without the signature"),
            Err(BundleError::Section { .. } | BundleError::NoManifest | BundleError::Order { .. }) => {}
            Err(other) => panic!("{len}: {other}"),
        }
    }
}

/// Bytes changed, removed, inserted and swapped at random.
#[needs::wasm_clang]
#[test]
fn random_damage() {
    let (bytes, headers) = real();
    let mut state = 7u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    let loader = loader();
    for round in 0..4000 {
        let mut damaged = bytes.clone();
        for _ in 0..=random(3) {
            // Half of the damage hits headers.
            let at = if random(2) == 0 { headers[random(headers.len())] } else { random(bytes.len()) };
            let at = at.min(damaged.len() - 1);
            match random(4) {
                0 => damaged[at] = random(256) as u8,
                1 => damaged.insert(at, random(256) as u8),
                2 => {
                    damaged.remove(at);
                }
                _ => damaged.truncate(at.max(1)),
            }
        }
        let read = Bundle::read(&damaged);
        if damaged != bytes
            && let Ok(Some(bundle)) = &read
        {
            assert_eq!(bundle.wasm(), wasm(), "what is taken for whole has the module and the images that it had");
            assert!(bundle.images().all(|found| found.bytes == image()));
        }
        // Compiling takes longer than reading.
        if round % 100 == 0 {
            let _ = loader.load_bytes("fat", &damaged);
            inspect(&loader, "fat", &damaged);
        }
    }
}

#[test]
fn bytes_that_are_no_module() {
    for bytes in [&b""[..], b"\0", b"\0asm", b"\x7fELF", b"hello", b"(module)", &image()] {
        assert!(matches!(Bundle::read(bytes), Err(BundleError::NotWasm(_))), "{bytes:?}");
    }
}
