//! What makes the numbers less sure, and what to do about it.

use super::numbers::Numbers;
use crate::ab::environment::Environment;
use crate::ab::measure::noise::Noise;

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
            "repeated, the traffic does not do what it did at first, so that the times are of what it does later (a scenario without ticks and \
             limits would be steady): {}",
            changed.join("; ")
        ));
    }
    for (size, difference) in numbers.differing_points() {
        warnings.push(format!("with {size} the results differ in {difference}"));
    }
    warnings
}

fn disturbances(noise: &Noise, environment: &Environment, warnings: &mut Vec<String>) {
    // At the end the tool itself counts as one.
    let others = noise.load_start.unwrap_or(0.0);
    if others > environment.cpus as f64 {
        warnings.push(format!(
            "the machine was busy before this began: load {others:.1} on {} CPUs; the ratios hold better than the times",
            environment.cpus
        ));
    }
    if let Some(steal) = noise.steal.filter(|steal| *steal > STEAL) {
        warnings.push(format!("the hypervisor gave {:.0} % of the CPU time to others", steal * 100.0));
    }
    if let Some(governor) = environment.governor.as_ref().filter(|governor| *governor != "performance") {
        warnings.push(format!("the processor's frequency may change: its governor is {governor}, not performance"));
    }
}
