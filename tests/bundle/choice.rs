//! Which part of a fat plugin runs.

use dynvm::bundle::{BundleWriter, this_machine};
use dynvm::{ArtifactKind, BackendPreference, LoadError, Loader, LoaderOptions, Module, VmConfig};

use crate::{fat, image, other_image, wasm};
use harness::{Backend, Harness, TestStream, compile, in_headers, loader, loader_with};

/// Runs it, and returns the chosen part and the reason.
#[track_caller]
fn taken(loader: &Loader, bytes: &[u8]) -> (ArtifactKind, String) {
    let module = loader.load_bytes("fat", bytes).unwrap();
    runs(&module);
    let info = module.info();
    let chosen = info.chosen.clone().expect("it is a fat plugin");
    assert_eq!((chosen.part, info.size), (info.kind, bytes.len()));
    (chosen.part, chosen.reason)
}

fn runs(module: &Module) {
    let mut harness =
        Harness::of(module, VmConfig::default(), &in_headers(&["proxy_add_header_map_value 0 x-probe here"]));
    let did = harness.did(TestStream::with_headers([("k", "v")]));
    assert_eq!(did, ["proxy_add_header_map_value = 0"], "the probe does what its script says");
}

fn native(reason: &str) -> (ArtifactKind, String) {
    (ArtifactKind::Native, reason.to_owned())
}

fn in_wasm(reason: &str) -> (ArtifactKind, String) {
    (ArtifactKind::Wasm, reason.to_owned())
}

#[needs::wasm_clang]
#[test]
fn the_image_for_this_machine() {
    let (image, (other, other_image)) = (image(), other_image());
    let bytes = fat(&[(this_machine(), &image), (other, &other_image)]);
    assert_eq!(taken(&loader(), &bytes), native(&format!("native image for {}", this_machine())));
}

/// Images are mapped from memory.
#[needs::wasm_clang]
#[test]
fn the_image_is_what_runs() {
    let module = loader().load_bytes("fat", &fat(&[(this_machine(), &image())])).unwrap();
    let _rig = Harness::of(&module, VmConfig::default(), "");
    assert!(std::fs::read_to_string("/proc/self/maps").unwrap().contains("/memfd:dynvm-image"));
}

#[needs::wasm_clang]
#[test]
fn native_plugins_are_not_allowed() {
    let loader = Loader::with_options(LoaderOptions::default()).unwrap();
    assert_eq!(taken(&loader, &fat(&[(this_machine(), &image())])), in_wasm("native plugins are not allowed"));
}

#[needs::wasm_clang]
#[test]
fn no_image_for_this_machine() {
    let (other, other_image) = other_image();
    let expected = in_wasm(&format!("no image for {}", this_machine()));
    assert_eq!(taken(&loader(), &fat(&[(other, &other_image)])), expected);
}

#[needs::wasm_clang]
#[test]
fn wasm_is_preferred() {
    let loader = loader_with(|options| options.prefer = BackendPreference::Wasm);
    assert_eq!(taken(&loader, &fat(&[(this_machine(), &image())])), in_wasm("wasm is preferred"));
    // A plain shared object is not affected.
    let module = loader.load_bytes("probe.so", &image()).unwrap();
    assert_eq!((module.info().kind, &module.info().chosen), (ArtifactKind::Native, &None));
}

#[needs::wasm_clang]
#[test]
fn an_image_that_does_not_load() {
    // Renames a symbol in its string table to a function that no host has.
    let mut broken = image();
    let name = b"\0proxy_get_current_time_nanoseconds\0";
    let at = broken.windows(name.len()).position(|window| window == name).unwrap();
    broken[at + 1..][..12].copy_from_slice(b"proxy_bet_cu");
    let (part, reason) = taken(&loader(), &fat(&[(this_machine(), &broken)]));
    assert_eq!(part, ArtifactKind::Wasm);
    let expected = "the native image does not load: imports what no Proxy-Wasm 0.2.1 host has: proxy_bet_current";
    assert!(reason.starts_with(expected), "{reason}");
    let mut truncated = image();
    truncated.truncate(truncated.len() / 2);
    let (part, reason) = taken(&loader(), &fat(&[(this_machine(), &truncated)]));
    assert_eq!(part, ArtifactKind::Wasm);
    assert!(reason.starts_with("the native image does not load: the ELF file is damaged or truncated"), "{reason}");
}

/// An image that was built on a newer system, a common case, is refused before any of it runs.
#[needs::wasm_clang]
#[test]
fn an_image_for_a_newer_system() {
    // It calls the C library, so it names the required version.
    let mut newer = std::fs::read(compile::plugin(Backend::Native, "heap.c", &[])).unwrap();
    let prefix = b"\0GLIBC_2.";
    let versions: Vec<usize> =
        (0..newer.len()).filter(|at| newer[*at..].starts_with(prefix)).map(|at| at + prefix.len()).collect();
    assert!(!versions.is_empty());
    for mut at in versions {
        while newer[at] != 0 {
            newer[at] = b'9';
            at += 1;
        }
    }
    let (part, reason) = taken(&loader(), &fat(&[(this_machine(), &newer)]));
    assert_eq!(part, ArtifactKind::Wasm);
    assert!(
        reason.starts_with("the native image does not load: its symbol ") && reason.contains("@GLIBC_2.9"),
        "{reason}"
    );
    // A plain shared object is therefore refused.
    let error = loader().load_bytes("newer.so", &newer).unwrap_err().to_string();
    assert!(error.contains("build the plugin on this system or an older one"), "{error}");
}

#[test]
fn neither_part_loads() {
    let no_plugin = b"\0asm\x01\0\0\0";
    let image = image();
    let writer = BundleWriter::new(no_plugin).unwrap().image(this_machine(), &image).unwrap();
    let loader = Loader::with_options(LoaderOptions::default()).unwrap();
    let error = loader.load_bytes("fat", &writer.write().unwrap()).unwrap_err();
    assert!(matches!(error, LoadError::NoPartLoads { .. }));
    let message = dynvm::with_causes(&error);
    for part in ["fat: neither part", "native plugins are not allowed", "exports none of proxy_abi_version_0_1_0"] {
        assert!(message.contains(part), "{part:?} is in {message:?}");
    }
}

#[needs::wasm_clang]
#[test]
fn a_plain_module_has_no_choice() {
    for backend in [Backend::Native, Backend::Wasm] {
        let module = loader().load_file(compile::plugin(backend, "probe.c", &[])).unwrap();
        assert_eq!(module.info().chosen, None);
    }
}

/// An incomplete fat plugin is refused, although its module could run: it is not the file that was bundled.
#[needs::wasm_clang]
#[test]
fn a_damaged_one_is_refused() {
    let bytes = fat(&[(this_machine(), &image())]);
    let mut changed = bytes.clone();
    let last = wasm().len() + 200;
    changed[last] ^= 1;
    for (bytes, expected) in [
        (&bytes[..bytes.len() - 1], "is truncated or damaged"),
        (&changed, "has another SHA-256 than the dynvm.native section says"),
    ] {
        let error = loader().load_bytes("fat", bytes).unwrap_err();
        assert!(matches!(error, LoadError::Malformed { .. }));
        let message = error.to_string();
        assert!(message.starts_with("fat: ") && message.contains(expected), "{expected:?} is in {message:?}");
    }
}
