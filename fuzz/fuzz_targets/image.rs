//! Reading, linking and mapping shared objects does not panic, and does not touch memory that is not the image's. None of their code runs.
//!
//! The inputs are shared objects from a C compiler, damaged where it decides something.
#![no_main]

use std::process::Command;
use std::sync::LazyLock;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

#[path = "../../crates/image/tests/image/damage.rs"]
mod damage;
#[path = "../../crates/image/tests/image/harmless.rs"]
mod harmless;

use damage::{Random, SOURCE, VARIANTS, damage};

static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| VARIANTS.iter().map(|arguments| compile(arguments)).collect());

fn compile(arguments: &[&str]) -> Vec<u8> {
    let base = std::env::temp_dir().join(format!("dynvm-fuzz-{}", std::process::id()));
    let (source, object) = (base.with_extension("c"), base.with_extension("so"));
    std::fs::write(&source, SOURCE).expect("the temporary directory is writable");
    let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler.args(["-shared", "-fPIC", "-O1", "-s", "-o"]).arg(&object).arg(&source).args(arguments);
    assert!(compiler.status().is_ok_and(|status| status.success()), "{compiler:?}");
    let bytes = std::fs::read(&object).expect("the compiler wrote it");
    let _ = (std::fs::remove_file(source), std::fs::remove_file(object));
    bytes
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random(u64::from(seed) << 1 | 1);
    let damaged = match random.below(8) {
        0 => return fuzzer_mutate(data, size, max_size),
        _ if size < 64 || random.below(64) == 0 => FILES[random.below(FILES.len())].clone(),
        _ => damage(&data[..size], &mut random),
    };
    let size = damaged.len().min(max_size);
    data[..size].copy_from_slice(&damaged[..size]);
    size
});

fuzz_target!(|data: &[u8]| {
    harmless::use_without_running(data, None);
});
