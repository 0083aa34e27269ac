//! A written bundle reads back unchanged, and every other host sees the original module.

use dynvm::bundle::{Bundle, this_machine};

use crate::{fat, fat_signed, image, other_image, wasm};

#[needs::wasm_clang]
#[test]
fn what_goes_in_comes_out() {
    let (wasm, image, (other, other_image)) = (wasm(), image(), other_image());
    let bytes = fat_signed(&[(this_machine(), &image), (other, &other_image)]);
    assert!(bytes.starts_with(&wasm), "the module is the file's beginning, byte for byte");
    let bundle = Bundle::read(&bytes).unwrap().unwrap();
    assert_eq!(bundle.wasm(), wasm);
    assert_eq!(bundle.images().len(), 2);
    assert_eq!(bundle.image_for(this_machine()).unwrap().bytes, image);
    assert_eq!(bundle.image_for(other).unwrap().bytes, other_image);
    assert!(bundle.signature().unwrap().contains("by a test"));
    assert!(Bundle::read(&wasm).unwrap().is_none());
}

#[needs::wasm_clang]
#[test]
fn order_makes_no_difference() {
    let (image, (other, other_image)) = (image(), other_image());
    let one = fat(&[(this_machine(), &image), (other, &other_image)]);
    let two = fat(&[(other, &other_image), (this_machine(), &image)]);
    assert_eq!(one, two);
}

/// A signature does not change the signed bytes; another module or image does.
#[needs::wasm_clang]
#[test]
fn what_is_signed() {
    let (image, (other, other_image)) = (image(), other_image());
    let signed = |bytes: &[u8]| Bundle::read(bytes).unwrap().unwrap().signed_bytes().to_vec();
    let plain = signed(&fat(&[(this_machine(), &image)]));
    assert_eq!(plain, signed(&fat_signed(&[(this_machine(), &image)])));
    assert_ne!(plain, signed(&fat(&[(this_machine(), &image), (other, &other_image)])));
    let mut longer = image.clone();
    longer.push(0);
    assert_ne!(plain, signed(&fat(&[(this_machine(), &longer)])));
}

#[needs::wasm_clang]
#[test]
fn other_hosts_take_it_as_the_module() {
    let bytes = fat_signed(&[(this_machine(), &image())]);
    wasmparser::validate(&bytes).unwrap();
    let engine = wasmtime::Engine::default();
    let exports = |bytes: &[u8]| {
        let module = wasmtime::Module::new(&engine, bytes).unwrap();
        module.exports().map(|export| export.name().to_owned()).collect::<Vec<_>>()
    };
    let names = exports(&bytes);
    assert!(names.iter().any(|name| name == "proxy_on_request_headers"), "{names:?}");
    assert_eq!(names, exports(&wasm()));
}
