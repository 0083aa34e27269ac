//! The ELF reader, the editor of private copies, and `inspect`: no bytes make them panic.
#![no_main]

use std::sync::LazyLock;

use dynvm::{Loader, LoaderOptions};
use libfuzzer_sys::fuzz_target;

static LOADER: LazyLock<Loader> =
    LazyLock::new(|| Loader::with_options(LoaderOptions::default().allow_native()).expect("takes any options"));

fuzz_target!(|data: &[u8]| {
    // Reading and editing; nothing runs before a VM is made.
    let _ = LOADER.load_bytes("fuzz", data);
    dynvm::inspect::inspect(&LOADER, "fuzz", data);
});
