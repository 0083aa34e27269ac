//! Policy files: the parser does not panic on any text.
#![no_main]

use std::path::Path;

use dynvm::trust::TrustPolicy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = TrustPolicy::parse(text, Path::new("/"));
});
