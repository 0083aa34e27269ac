//! Warnings about the precision of the numbers, with remedies.

use std::collections::BTreeMap;

use super::numbers::Numbers;
use crate::ab::environment::Environment;
use crate::ab::measure::noise::{Noise, QUIET};

/// Minimum relative half-width of an interval that triggers a warning.
const WIDE: f64 = 0.05;

/// Minimum share of stolen CPU time that triggers a warning.
const STEAL: f64 = 0.02;

pub fn warnings(numbers: &Numbers, noise: Option<&Noise>, environment: &Environment) -> Vec<String> {
    let mut warnings = Vec::new();
    if environment.debug_build {
        warnings.push("this is a debug build of dynvm: its times are meaningless; build it with --release".to_owned());
    }
    if let Some(noise) = noise {
        disturbances(noise, environment, &mut warnings);
    }
    match numbers.traffic.ratio.p50 {
        Some(ratio) => match ratio.half_width() {
            Some(width) if width > WIDE => warnings.push(format!(
                "the interval of the ratio is wide, {:.0} % to either side: measure longer (--duration), bind to \
                 a CPU (--pin), or stop other work on the machine",
                width * 100.0
            )),
            Some(_) => {}
            None => warnings.push("too few passes for intervals: measure longer (--duration)".to_owned()),
        },
        None => warnings.push("the callbacks are shorter than the clock's resolution: no ratio".to_owned()),
    }
    let changed = &numbers.method.changed;
    if !changed.is_empty() {
        warnings.push(format!(
            "outcomes changed between passes, and the times are those of later passes. Each pass begins at the \
             same simulated time with the same shared data, so the cause is state in the plugin's variables: {}",
            changed.join("; ")
        ));
    }
    let mut differences: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (size, difference) in numbers.differing_points() {
        differences.entry(difference).or_default().push(size);
    }
    for (difference, sizes) in differences {
        warnings.push(format!(
            "in the sweep of request sizes, the results differ in {difference}: with {}",
            sizes.join(", ")
        ));
    }
    warnings
}

fn disturbances(noise: &Noise, environment: &Environment, warnings: &mut Vec<String>) {
    if let Some(busy) = noise.busy_start.filter(|busy| *busy > QUIET) {
        warnings.push(format!(
            "the machine was busy at the start: other processes used {:.0} % of its CPU time, even after a wait \
             of {:.0} s; ratios are more reliable than times",
            busy * 100.0,
            noise.waited_ms as f64 / 1000.0
        ));
    }
    if let Some(steal) = noise.steal.filter(|steal| *steal > STEAL) {
        warnings.push(format!("the hypervisor gave {:.0} % of the CPU time to other guests", steal * 100.0));
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
            "used 80 % of its CPU time, even after a wait of 15 s",
            "7 % of the CPU time",
            "powersave",
            "20 % to either side",
            "outcomes changed between passes",
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
        assert!(warnings(&numbers, None, &environment())[0].contains("shorter than the clock's resolution"));
    }
}
