//! The ELF reader, the linker and `inspect` do not panic on any bytes.
#![no_main]

use std::sync::LazyLock;

use dynvm::{Loader, LoaderOptions};
use libfuzzer_sys::fuzz_target;

static LOADER: LazyLock<Loader> =
    LazyLock::new(|| Loader::with_options(LoaderOptions::default().allow_native()).expect("takes any options"));

fuzz_target!(|data: &[u8]| {
    // Reads and links; no code runs before a VM is created.
    let _ = LOADER.load_bytes("fuzz", data);
    dynvm::inspect::inspect(&LOADER, "fuzz", data);
});
