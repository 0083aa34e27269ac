//! Tests of the layout with small synthetic parts. The workspace's `tests` use real plugins.

use super::format::{self, leb128_len, push_section};
use super::write::check_size;
use super::*;

const WASM: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\0\x06\x04note!";
const SIGNATURE: &str = "untrusted comment: a\nAAAA\ntrusted comment: b\nBBBB\n";

fn sha256(bytes: &[u8]) -> [u8; 32] {
    read::sha256(&[bytes])
}

/// The fields of an ELF file that are checked, and a mark.
fn elf(number: u8, mark: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(64, 0);
    bytes[18] = number;
    bytes.extend_from_slice(mark);
    bytes
}

fn fat() -> Vec<u8> {
    let (x86_64, aarch64) = (elf(62, b"one"), elf(183, b"two"));
    let writer = BundleWriter::new(WASM).unwrap().image("x86_64", &x86_64).unwrap().image("aarch64", &aarch64).unwrap();
    writer.write_signed::<BundleError>(|_| Ok(SIGNATURE.to_owned())).unwrap()
}

/// Payloads of the sections after the module, by name, for comparison with [`fat`].
fn sections(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    wasmparser::Parser::new(0)
        .parse_all(bytes)
        .filter_map(|payload| match payload.unwrap() {
            wasmparser::Payload::CustomSection(section) if section.name().starts_with("dynvm.") => {
                Some((section.name().to_owned(), section.data().to_vec()))
            }
            _ => None,
        })
        .collect()
}

fn assemble(sections: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut out = WASM.to_vec();
    sections.iter().for_each(|(name, payload)| push_section(&mut out, name, &[payload]));
    out
}

fn error(bytes: &[u8]) -> BundleError {
    Bundle::read(bytes).map(|_| ()).expect_err("it is refused")
}

#[test]
fn round_trip() {
    let bytes = fat();
    let bundle = Bundle::read(&bytes).unwrap().unwrap();
    assert_eq!(bundle.wasm(), WASM);
    let machines: Vec<&str> = bundle.images().map(|image| image.machine).collect();
    assert_eq!(machines, ["aarch64", "x86_64"], "in alphabetical order, however they were added");
    let image = bundle.image_for("x86_64").unwrap();
    assert_eq!((image.bytes, image.digest), (&elf(62, b"one")[..], sha256(&elf(62, b"one"))));
    assert_eq!(bundle.signature(), Some(SIGNATURE));
    assert!(bundle.signed_bytes().starts_with(b"dynvm.manifest\0\x01"));
    assert!(Bundle::read(WASM).unwrap().is_none());
    assert_eq!(assemble(&sections(&bytes)), bytes);
}

/// The offsets that `docs/fat-plugins.md` states.
#[test]
fn offsets() {
    let bytes = fat();
    let image = elf(183, b"two");
    let mut native = b"\x01\x07aarch64".to_vec();
    native.extend(sha256(&image));
    native.extend(&image);
    let mut manifest = b"dynvm.manifest\0\x01".to_vec();
    manifest.extend((WASM.len() as u64).to_le_bytes());
    manifest.extend(sha256(WASM));
    manifest.push(2);
    for (machine, image) in [("aarch64", &image), ("x86_64", &elf(62, b"one"))] {
        manifest.push(machine.len() as u8);
        manifest.extend(machine.as_bytes());
        manifest.extend((image.len() as u64).to_le_bytes());
        manifest.extend(sha256(image));
    }
    let sections = sections(&bytes);
    assert_eq!(sections[0], ("dynvm.native".to_owned(), native));
    assert_eq!(sections[2], ("dynvm.manifest".to_owned(), manifest));
    assert_eq!(sections[3], ("dynvm.signature".to_owned(), SIGNATURE.as_bytes().to_vec()));
    assert_eq!(sections.len(), 4);
}

#[test]
fn sections_in_another_order() {
    let s = sections(&fat());
    let order = |picks: &[usize]| error(&assemble(&picks.iter().map(|at| s[*at].clone()).collect::<Vec<_>>()));
    assert_eq!(order(&[0, 1]), BundleError::NoManifest);
    assert_eq!(order(&[2]), BundleError::NoImages);
    for picks in [&[0, 3][..], &[3], &[0, 1, 2, 2], &[0, 1, 2, 0], &[0, 1, 2, 3, 3], &[0, 1, 2, 3, 1], &[3, 0, 1, 2]] {
        assert!(matches!(order(picks), BundleError::Order { .. }), "{picks:?}: {}", order(picks));
    }
    assert_eq!(order(&[0, 0, 2]), BundleError::DuplicateMachine { machine: "aarch64".to_owned() });
    // In another order than the manifest's, one missing, one too many.
    for picks in [&[1, 0, 2][..], &[0, 2], &[1, 2]] {
        assert!(matches!(order(picks), BundleError::Manifest { .. }), "{picks:?}: {}", order(picks));
    }
    let many: Vec<_> = (0..=MAX_IMAGES)
        .map(|i| {
            let name = format!("m{i}");
            let bytes = elf(0, b"");
            let image = Image { machine: &name, digest: sha256(&bytes), bytes: &bytes };
            let mut payload = format::image_header(&image);
            payload.extend(image.bytes);
            (NATIVE_SECTION.to_owned(), payload)
        })
        .collect();
    assert_eq!(error(&assemble(&many)), BundleError::TooManyImages);
}

#[test]
fn what_other_tools_append() {
    for section in [&b"\0\x05\x04name"[..], b"\x01\x01\0"] {
        let bytes = [&fat()[..], section].concat();
        let message = error(&bytes).to_string();
        assert!(message.contains("only the end of the file may stand"), "{message}");
    }
    let bytes = [&fat()[..], b"\xff\xff"].concat();
    assert!(error(&bytes).to_string().starts_with("2 bytes that are no section"), "{}", error(&bytes));
}

#[test]
fn truncated_at_every_length() {
    let bytes = fat();
    let s = sections(&bytes);
    let unsigned = assemble(&s[..3]).len();
    let modules = [8, 14, WASM.len()];
    for len in 0..bytes.len() {
        match Bundle::read(&bytes[..len]) {
            Ok(None) => assert!(modules.contains(&len), "{len}: only at the end of a section of the module"),
            Ok(Some(bundle)) => assert_eq!((len, bundle.signature()), (unsigned, None)),
            Err(_) => assert!(len != unsigned && !modules.contains(&len)),
        }
    }
}

/// Changes every byte to every value: each gives an error, except in the text of the signature,
/// where a change is valid text too.
#[test]
fn every_byte_changed() {
    let bytes = fat();
    let signature = bytes.len() - SIGNATURE.len();
    for at in 0..bytes.len() {
        for value in 1..=255u8 {
            let mut changed = bytes.clone();
            changed[at] ^= value;
            if let Ok(read) = Bundle::read(&changed) {
                assert!(at >= signature || read.is_none(), "byte {at:#x} ^ {value:#x} is noticed");
            }
        }
    }
}

#[test]
fn lengths_in_a_longer_form() {
    let bytes = fat();
    let manifest = sections(&bytes)[2].1.clone();
    let at = bytes.windows(manifest.len()).position(|window| window == manifest).unwrap();
    // The section's size is followed by the length of its name, and the name.
    let size_at = at - MANIFEST_SECTION.len() - 1 - leb128_len(manifest.len() + MANIFEST_SECTION.len() + 1);
    let mut longer = bytes.clone();
    longer[at - MANIFEST_SECTION.len() - 2] |= 0x80;
    longer.insert(at - MANIFEST_SECTION.len() - 1, 0);
    assert_eq!(error(&longer), BundleError::OverlongLength { offset: size_at - 1 });
    assert!(wasmparser::Parser::new(0).parse_all(&longer).all(|payload| payload.is_ok()), "other hosts take it");
}

#[test]
fn headers_that_do_not_fit() {
    let good = sections(&fat());
    let changed = |section: usize, at: usize, value: u8| {
        let mut sections = good.clone();
        sections[section].1[at] = value;
        error(&assemble(&sections)).to_string()
    };
    for (section, at, value, expected) in [
        (0, 0, 2, "section dynvm.native has version 2, but this build of DynVM reads version 1"),
        (0, 1, 0, "\"\" is not the name of a machine"),
        (0, 1, 255, "it ends within the name of a machine"),
        (0, 2, b'A', "\"Aarch64\" is not the name of a machine"),
        (0, 9, 0, "native image for aarch64 has another SHA-256 than the dynvm.native section says"),
        (2, 0, b'D', "it does not begin as a manifest"),
        (2, 15, 9, "section dynvm.manifest has version 9"),
        (2, 16, 1, "it says 1 bytes of wasm"),
        (2, 24, 0, "the wasm module has another SHA-256 than the dynvm.manifest section says"),
        (2, 56, 3, "it ends within the name of a machine"),
        (2, 56, 1, "bytes follow its last field"),
        (3, 0, b'U', "a line begins with \"Untrusted comment: a"),
        (3, 19, 0xff, "it is not text"),
        (3, 19, b'\n', "it has 5 lines, not 4"),
    ] {
        let message = changed(section, at, value);
        assert!(message.contains(expected), "{expected:?} is in {message:?}");
    }
    let mut sections = good.clone();
    sections[3].1.resize(MAX_SIGNATURE_LEN + 1, b'x');
    assert!(error(&assemble(&sections)).to_string().contains("more than 4096"));
}

#[test]
fn images_for_other_machines_than_they_claim() {
    let refused = |machine: &str, image: &[u8]| {
        BundleWriter::new(WASM).unwrap().image(machine, image).map(|_| ()).unwrap_err().to_string()
    };
    let mut narrow = elf(62, b"");
    narrow[4] = 1;
    for (machine, image, expected) in [
        ("x86_64", elf(183, b""), "the native image for x86_64 is an ELF file for aarch64"),
        ("x86_64", elf(8, b""), "machine number 8"),
        ("x86_64", narrow, "32 bits"),
        ("s390x", elf(62, b""), "for s390x is an ELF file for x86_64"),
        ("aarch64", b"MZ".to_vec(), "not an ELF file"),
        ("x86-64", elf(62, b""), "one of x86_64, aarch64"),
    ] {
        let message = refused(machine, &image);
        assert!(message.contains(expected), "{expected:?} is in {message:?}");
    }
    // Reading finds the same error: the name is changed in image and manifest, and nothing else is.
    let mut sections = sections(&fat());
    sections.remove(0);
    let image = elf(62, b"one");
    let claimed = Image { machine: "riscv64", digest: sha256(&image), bytes: &image };
    sections[0].1 = [format::image_header(&claimed), image.clone()].concat();
    let message = error(&assemble(&sections)).to_string();
    assert!(message.contains("the native image for riscv64 is an ELF file for x86_64"), "{message}");
}

#[test]
fn what_the_writer_refuses() {
    let image = elf(62, b"");
    assert!(matches!(BundleWriter::new(b"hello").unwrap_err(), BundleError::NotWasm(_)));
    assert!(matches!(BundleWriter::new(b"\0asm\x0d\0\x01\0").unwrap_err(), BundleError::NotWasm(_)));
    assert!(matches!(BundleWriter::new(&WASM[..WASM.len() - 1]).unwrap_err(), BundleError::Section { .. }));
    let writer = BundleWriter::new(WASM).unwrap();
    assert_eq!(writer.write().unwrap_err(), BundleError::NoImages);
    let writer = writer.image("x86_64", &image).unwrap();
    let twice = writer.clone().image("x86_64", &image).unwrap_err();
    assert_eq!(twice, BundleError::DuplicateMachine { machine: "x86_64".to_owned() });
    let junk = writer.write_signed::<BundleError>(|_| Ok("no signature".to_owned())).unwrap_err();
    assert!(matches!(junk, BundleError::Signature { .. }));
    assert!(check_size(MAX_SIZE / 2).is_ok());
    assert!(matches!(check_size(MAX_SIZE).unwrap_err(), BundleError::TooLarge { .. }));
}

#[test]
fn a_fat_plugin_is_bundled_again_from_its_module() {
    let image = elf(62, b"new");
    let bytes = fat();
    let again = BundleWriter::new(&bytes).unwrap().image("x86_64", &image).unwrap().write().unwrap();
    let bundle = Bundle::read(&again).unwrap().unwrap();
    assert_eq!((bundle.wasm(), bundle.images().len(), bundle.signature()), (WASM, 1, None));
    assert_eq!(bundle.image_for("x86_64").unwrap().bytes, image);
}

/// With a custom section of this name behind the header.
fn with_section(bytes: &[u8], name: &str) -> Vec<u8> {
    let (header, rest) = bytes.split_at(8);
    let mut out = header.to_vec();
    push_section(&mut out, name, &[b"of the rest"]);
    out.extend(rest);
    out
}

#[test]
fn a_signature_of_the_module_is_added_last() {
    let signed = with_section(&fat(), "signature");
    let bundle = Bundle::read(&signed).unwrap().expect("a fat plugin");
    assert_eq!(bundle.wasm(), with_section(WASM, "signature"));
    assert_eq!((bundle.images().len(), bundle.signature()), (2, Some(SIGNATURE)));
    assert!(matches!(error(&with_section(&fat(), "other")), BundleError::Manifest { .. }));
    assert!(matches!(error(&with_section(&signed, "signature")), BundleError::Manifest { .. }));
    // It is none of what is bundled again.
    let image = elf(62, b"one");
    let again = BundleWriter::new(&signed).unwrap().image("x86_64", &image).unwrap().write().unwrap();
    assert_eq!(Bundle::read(&again).unwrap().unwrap().wasm(), WASM);
}
