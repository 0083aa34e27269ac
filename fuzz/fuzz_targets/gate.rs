//! Conditions of `dynvm ab --fail-if`: no text makes the parser, the check or the decision panic, and places lie within the text.
#![no_main]

use dynvm_gate::{Condition, Dimension, Error, Interval};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = decide(text) {
        let _ = error.to_string();
        assert!(text.get(error.at()).is_some() || error.at().is_empty());
    }
});

fn decide(text: &str) -> Result<(), Error> {
    let condition = Condition::parse(text)?;
    // A name's length chooses what it is, so that every path is found.
    condition.check(&|name| match name.len() % 4 {
        0 => None,
        1 => Some(Dimension::Number),
        2 => Some(Dimension::Time),
        _ => Some(Dimension::Size),
    })?;
    condition.decide(&|name| match name.len() % 5 {
        0 => Err("it was not measured".to_owned()),
        1 => Ok(Interval::exact(0.0)),
        2 => Ok(Interval { low: -1.0, value: 0.5, high: 1.0 }),
        3 => Ok(Interval { low: 1e200, value: 1e300, high: f64::INFINITY }),
        _ => Ok(Interval { low: 900.0, value: 1000.0, high: 1100.0 }),
    })?;
    Ok(())
}
