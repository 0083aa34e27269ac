//! The reader of fat plugins does not panic on any bytes, and its results can be written again.
#![no_main]

use dynvm::bundle::{Bundle, BundleWriter};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(Some(bundle)) = Bundle::read(data) else { return };
    let mut writer = BundleWriter::new(bundle.wasm()).expect("the module of a fat plugin is a plain one");
    for image in bundle.images() {
        writer = writer.image(image.machine, image.bytes).expect("it was read");
    }
    if bundle.signature().is_none() {
        assert_eq!(writer.write().expect("it was read"), data);
    }
});
