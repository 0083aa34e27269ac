//! Explains a divergence: tests which build is deterministic, the effect of randomness and time,
//! and how the values relate.

use dynvm_compare::rules::Rules;
use serde::Serialize;

use crate::lockstep::{Divergence, Lockstep, Pair, Started};
use crate::scenario::Scenario;

/// Results of experiments with a small scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Whether the native build is deterministic.
    pub native_repeats: bool,
    /// Whether the wasm build is deterministic.
    pub wasm_repeats: bool,
    /// Whether the wasm build behaves the same with a different random seed.
    pub wasm_repeats_with_other_randomness: bool,
    /// Conclusions, as sentences.
    pub says: Vec<String>,
}

/// Runs of each build against itself. Nondeterminism does not show in every run: an order of two shows in half of them.
const REPEATS: usize = 20;

/// Runs the experiments.
pub fn explain(pair: &Pair, scenario: &Scenario, divergence: &Divergence) -> Explanation {
    let native = Pair { native: pair.native.clone(), wasm: pair.native.clone() };
    let wasm = Pair { native: pair.wasm.clone(), wasm: pair.wasm.clone() };
    let repeats = |pair: &Pair| (0..REPEATS).all(|_| is_same(pair, scenario, scenario));
    let other =
        Scenario { random_seed: Some(scenario.random_seed.unwrap_or_default() ^ 0x5bd1_e995), ..scenario.clone() };
    let mut explanation = Explanation {
        native_repeats: repeats(&native),
        wasm_repeats: repeats(&wasm),
        wasm_repeats_with_other_randomness: is_same(&wasm, scenario, &other),
        says: Vec::new(),
    };
    explanation.says = sentences(&explanation, divergence);
    explanation
}

/// Whether a pair behaves the same on two scenarios with the same steps.
fn is_same(pair: &Pair, first: &Scenario, second: &Scenario) -> bool {
    let Ok(Started::Running(mut lockstep)) = Lockstep::start_each(pair, [first, second], Rules::default()) else {
        return false;
    };
    let mut steps = first.steps.iter().enumerate();
    steps.all(|(index, step)| matches!(lockstep.step(index, step), Ok(None)))
}

fn sentences(explanation: &Explanation, divergence: &Divergence) -> Vec<String> {
    let mut says = Vec::new();
    if let Some(side) = only_one_fails(divergence) {
        says.push(format!("Only the {side} build fails: see its message and the step's log."));
    }
    match (explanation.native_repeats, explanation.wasm_repeats) {
        (true, true) => says.push(
            "Both builds are deterministic, so they compute different things from the same input: look for what \
             depends on the width of usize, size_t, long or a pointer, on alignment, or on undefined behavior \
             (overflow, uninitialized memory)."
                .to_owned(),
        ),
        (false, true) => says.push(
            "The native build is nondeterministic on the same input: it depends on the system, not only on the \
             host. Look for the order of a HashMap or HashSet, random numbers, clocks other than the host's, \
             addresses, uninitialized memory."
                .to_owned(),
        ),
        (true, false) | (false, false) => says.push(
            "The wasm build is nondeterministic; a plugin cannot cause this: please file a bug with the scenario."
                .to_owned(),
        ),
    }
    if explanation.wasm_repeats && !explanation.wasm_repeats_with_other_randomness {
        says.push(
            "The wasm build behaves differently with another random seed: the difference comes from random \
             numbers, e.g. the order of a HashMap."
                .to_owned(),
        );
    }
    let [native, wasm] = &divergence.found.values;
    if let (Some(native), Some(wasm)) = (number(native), number(wasm))
        && native != wasm
        && native as u32 == wasm as u32
    {
        says.push(format!("{native} and {wasm} have the same low 32 bits: arithmetic that wraps at 32 bits on wasm."));
    }
    says
}

/// The side that fails, if the other one does not.
fn only_one_fails(divergence: &Divergence) -> Option<&'static str> {
    let fails = divergence
        .lines
        .each_ref()
        .map(|lines| lines.iter().any(|line| line.text.starts_with("<- ") && line.text.contains(" failed: ")));
    match fails {
        [true, false] => Some("native"),
        [false, true] => Some("wasm"),
        _ => None,
    }
}

/// The number that a text represents, decimal or hexadecimal, with or without quotes.
fn number(text: &str) -> Option<u64> {
    let text = text.trim_matches('"');
    text.parse().ok().or_else(|| u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read() {
        assert_eq!(number("\"4294967297\""), Some(0x1_0000_0001));
        assert_eq!(number("0xff"), Some(255));
        assert_eq!(number("\"hello\""), None);
    }
}
