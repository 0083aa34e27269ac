//! Suites in the text format of protocol buffers: the reader does not panic on any text.
#![no_main]

use dynvm_suite::{Format, Suite};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = Suite::parse(text, Format::TextProto, "suite") {
        assert!(error.to_string().starts_with("suite"));
    }
});
