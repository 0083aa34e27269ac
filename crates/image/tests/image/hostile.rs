//! Damaged and hostile files are refused, or linked and mapped without harm; none of their code runs.

use crate::compile;
use crate::damage::{Random, SOURCE, VARIANTS, damage};
use crate::harmless::use_without_running;

#[needs::cc]
#[test]
fn damaged_files_do_no_harm() {
    for (number, arguments) in VARIANTS.iter().enumerate() {
        let path = compile::c(SOURCE, arguments);
        let seed = std::fs::read(&path).unwrap();
        assert!(use_without_running(&seed, Some(&path)), "{arguments:?}: the undamaged file works");
        let mut random = Random(0x9e37_79b9_7f4a_7c15 + number as u64);
        let rounds = 2000;
        let used = (0..rounds).filter(|_| use_without_running(&damage(&seed, &mut random), Some(&path))).count();
        assert!(used > rounds / 50 && used < rounds, "{arguments:?}: {used} of {rounds} were still usable");
    }
}

#[needs::cc]
#[test]
fn every_truncation_is_refused_or_harmless() {
    let path = compile::c(SOURCE, &[]);
    let seed = std::fs::read(&path).unwrap();
    for len in (0..seed.len()).step_by(seed.len() / 997) {
        use_without_running(&seed[..len], Some(&path));
    }
}
