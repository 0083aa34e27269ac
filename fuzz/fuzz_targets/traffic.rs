//! Traffic: JSON Lines and HAR readers do not panic on any text, and each step that they read can be sent.
#![no_main]

use dynvm_differential::scenario::Step;
use dynvm_differential::traffic::{parse_har, parse_json_lines};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for steps in [parse_har(text), parse_json_lines(text)].into_iter().flatten() {
        for step in steps {
            let _ = step.title();
            if let Step::Request(request) = step {
                let _ = request.request();
            }
        }
    }
});
