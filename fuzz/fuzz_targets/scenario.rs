//! Scenarios: the reader does not panic on any text, and a written scenario reads back the same.
#![no_main]

use dynvm_differential::scenario::Scenario;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(scenario) = Scenario::parse(text) {
        let written = serde_json::to_string(&scenario).expect("a scenario can be written");
        let again = Scenario::parse(&written).expect("what was written can be read");
        // NaN equals nothing.
        assert_eq!(serde_json::to_string(&again).expect("again"), written);
        let _ = scenario.host();
    }
});
