//! What makes the numbers less sure, and what to do about it.

use std::collections::BTreeMap;

use super::numbers::Numbers;
use crate::ab::environment::Environment;
use crate::ab::measure::noise::{Noise, QUIET};

/// Half of an interval's width from which on a ratio is called uncertain.
const WIDE: f64 = 0.05;

/// The share of CPU time that others got from which on a virtual machine is called disturbed.
const STEAL: f64 = 0.02;

pub fn warnings(numbers: &Numbers, noise: Option<&Noise>, environment: &Environment) -> Vec<String> {
    let mut warnings = Vec::new();
    if environment.debug_build {
        warnings.push("this is a debug build of dynvm: its times mean nothing; build it with --release".to_owned());
    }
    if let Some(noise) = noise {
        disturbances(noise, environment, &mut warnings);
    }
    match numbers.traffic.ratio.p50 {
        Some(ratio) => match ratio.half_width() {
            Some(width) if width > WIDE => warnings.push(format!(
                "the interval of the ratio is wide, {:.0} % to either side: measure longer (--duration), bind to a CPU (--pin), or quiet \
                 the machine",
                width * 100.0
            )),
            Some(_) => {}
            None => warnings.push("too few passes for intervals: measure longer (--duration)".to_owned()),
        },
        None => warnings.push("the callbacks take less time than the clock can see: there is no ratio".to_owned()),
    }
    let changed = &numbers.method.changed;
    if !changed.is_empty() {
        warnings.push(format!(
            "repeated, the traffic does not do what it did at first, so that the times are of what it does later: each pass begins at the same \
             time with the same shared data, so this is what the plugin keeps in its variables: {}",
            changed.join("; ")
        ));
    }
    let mut differences: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (size, difference) in numbers.differing_points() {
        differences.entry(difference).or_default().push(size);
    }
    for (difference, sizes) in differences {
        warnings.push(format!("as the request grows the results differ in {difference}: with {}", sizes.join(", ")));
    }
    warnings
}

fn disturbances(noise: &Noise, environment: &Environment, warnings: &mut Vec<String>) {
    if let Some(busy) = noise.busy_start.filter(|busy| *busy > QUIET) {
        warnings.push(format!(
            "the machine was busy before this began: other processes used {:.0} % of its CPU time, also after {:.0} s of waiting for them; \
             the ratios hold better than the times",
            busy * 100.0,
            noise.waited_ms as f64 / 1000.0
        ));
    }
    if let Some(steal) = noise.steal.filter(|steal| *steal > STEAL) {
        warnings.push(format!("the hypervisor gave {:.0} % of the CPU time to others", steal * 100.0));
    }
    if let Some(governor) = environment.governor.as_ref().filter(|governor| *governor != "performance") {
        warnings.push(format!("the processor's frequency may change: its governor is {governor}, not performance"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ab::measure::statistics::Estimate;
    use crate::ab::report::fixture;

    fn environment() -> Environment {
        Environment { cpus: 2, ..Environment::default() }
    }

    /// The numbers of a quiet machine.
    fn quiet() -> Numbers {
        let mut numbers = fixture::numbers();
        numbers.method.changed.clear();
        numbers.sweep = None;
        numbers
    }

    #[test]
    fn a_quiet_machine_is_not_warned_of() {
        let noise = Noise { busy_start: Some(0.2), load_start: Some(5.0), steal: Some(0.001), ..Noise::default() };
        let environment = Environment { governor: Some("performance".to_owned()), ..environment() };
        assert_eq!(warnings(&quiet(), Some(&noise), &environment), Vec::<String>::new());
    }

    #[test]
    fn each_disturbance_is_named() {
        let noise = Noise { waited_ms: 15_020, busy_start: Some(0.8), steal: Some(0.07), ..Noise::default() };
        let environment = Environment { debug_build: true, governor: Some("powersave".to_owned()), ..environment() };
        let mut numbers = fixture::numbers();
        numbers.traffic.ratio.p50 = Some(Estimate { value: 0.5, low: Some(0.4), high: Some(0.6) });
        let warnings = warnings(&numbers, Some(&noise), &environment).join("\n");
        for part in [
            "debug build",
            "used 80 % of its CPU time, also after 15 s",
            "7 % of the CPU time",
            "powersave",
            "20 % to either side",
            "the traffic does not do what it did at first",
            "with 20 headers, 1024 bytes of body",
        ] {
            assert!(warnings.contains(part), "{part} is in:\n{warnings}");
        }
    }

    #[test]
    fn too_little_to_tell_is_said() {
        let mut numbers = quiet();
        numbers.traffic.ratio.p50 = Some(Estimate::point(0.5));
        assert!(warnings(&numbers, None, &environment())[0].contains("too few passes"));
        numbers.traffic.ratio.p50 = None;
        assert!(warnings(&numbers, None, &environment())[0].contains("less time than the clock can see"));
    }
}
