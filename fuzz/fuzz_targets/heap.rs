//! Operations on heaps of native VMs, chosen by the bytes, agree with a map of the live blocks.
#![no_main]

#[allow(dead_code, reason = "the generator of numbers is for the tests")]
#[path = "../../crates/heap/tests/model/mod.rs"]
mod model;

use libfuzzer_sys::fuzz_target;

struct Bytes<'a>(&'a [u8]);

impl model::choices::Choices for Bytes<'_> {
    fn next(&mut self) -> Option<u32> {
        let (choice, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*choice))
    }
}

fuzz_target!(|data: &[u8]| model::run(&mut Bytes(data)));
