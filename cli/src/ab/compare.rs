//! Compares the behavior of both builds, and shrinks the first difference to a minimal reproducer.

use std::path::PathBuf;

use dynvm_compare::rules::{AppliedRule, Rules};
use dynvm_differential::align::{Row, align};
use dynvm_differential::campaign::{self, Campaign, Summary};
use dynvm_differential::explain::{Explanation, explain};
use dynvm_differential::failures::{CommonFailure, Failures};
use dynvm_differential::generate::Generator;
use dynvm_differential::lockstep::{self, Divergence, Pair};
use dynvm_differential::shrink::{Limits, shrink};
use serde::Serialize;

use super::{Side, step_name};
use crate::exit::{cannot_load, usage};
use crate::scenario::Scenario;
use crate::{print, progress};

/// Result of a comparison.
pub struct Comparison {
    /// Number of compared steps, including the start of the plugin.
    pub steps: usize,
    pub difference: Option<Difference>,
    /// Failures of the VMs: native, wasm.
    pub failures: [Option<String>; 2],
    /// Kinds of failures that both builds share, including those of generated traffic.
    pub common_failures: Vec<CommonFailure>,
    /// Rules that applied, with the number of ignored differences.
    pub rules: Vec<AppliedRule>,
    /// Statistics of the generated traffic, if any.
    pub generated: Option<Generated>,
}

/// A difference between the builds.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// Title of the step.
    pub step: String,
    /// Description of what differs.
    pub aspect: String,
    /// Behavior of the native build.
    pub native: String,
    /// Behavior of the wasm build.
    pub wasm: String,
    /// Both traces around the difference.
    pub trace: Vec<Row>,
    /// Result of the experiments that explain the difference.
    pub explanation: Explanation,
    /// The minimal reproducer.
    pub scenario: Minimal,
}

/// The smallest scenario that shows a difference.
#[derive(Clone, Debug, Serialize)]
pub struct Minimal {
    /// File it was written to, if any.
    pub file: Option<PathBuf>,
    /// Number of steps.
    pub steps: usize,
    /// Runs of both builds that shrinking took.
    pub runs: u64,
    /// Whether nothing more can be removed.
    pub complete: bool,
    /// Number of runs, out of ten, that show the difference.
    pub shows_in_ten: u32,
}

/// Statistics of generated traffic.
#[derive(Clone, Debug, Serialize)]
pub struct Generated {
    pub seed: u64,
    pub streams: u64,
    /// Number of callbacks and hostcalls.
    pub events: u64,
    /// Pairs of VMs that were started.
    pub vm_pairs: u64,
    /// Pairs of VMs whose two sides failed in the same way.
    pub failed_alike: u64,
    /// Duration.
    pub seconds: f64,
    /// Streams per second, each run through both builds and compared.
    pub streams_per_second: f64,
}

/// Options of a comparison.
pub struct Options {
    pub rules: Rules,
    /// Number of streams to generate; 0 disables generation.
    pub generate: u64,
    pub seed: u64,
    pub streams_per_vm: u64,
    pub threads: usize,
    /// File for the minimal reproducer.
    pub minimal: Option<PathBuf>,
}

impl Comparison {
    /// Whether times are meaningful: both builds serve all of the traffic.
    pub fn is_measurable(&self) -> bool {
        self.failures.iter().all(Option::is_none)
    }
}

pub fn compare(sides: &[Side; 2], scenario: &Scenario, options: &Options) -> anyhow::Result<Comparison> {
    let pair = Pair { native: sides[0].module.clone(), wasm: sides[1].module.clone() };
    let outcome = lockstep::run(&pair, scenario, options.rules).map_err(cannot_load)?;
    for upstream in &outcome.unanswered {
        print::unanswered(upstream);
    }
    let mut applied = outcome.applied;
    let mut failures = Failures::default();
    failures.extend(outcome.common_failure);
    let mut found = outcome.divergence.map(|divergence| (up_to(scenario, &divergence), divergence));
    let mut generated = None;
    if options.generate > 0 && found.is_none() {
        let mut summary = generate(&pair, &sides[1].artifact.bytes, scenario, options)?;
        found = summary.divergence.take();
        applied.add(&summary.applied);
        failures.extend(std::mem::take(&mut summary.failures).into_list());
        generated = Some(Generated::new(options.seed, &summary));
    }
    let difference =
        found.map(|(scenario, divergence)| difference(&pair, scenario, divergence, options)).transpose()?;
    Ok(Comparison {
        steps: outcome.steps,
        difference,
        failures: outcome.failures,
        common_failures: failures.into_list(),
        rules: applied.list(),
        generated,
    })
}

/// The prefix of the scenario that ends with the diverging step.
fn up_to(scenario: &Scenario, divergence: &Divergence) -> Scenario {
    let steps = divergence.step.map_or(0, |index| index + 1);
    Scenario { steps: scenario.steps[..steps].to_vec(), ..scenario.clone() }
}

fn generate(pair: &Pair, wasm: &[u8], scenario: &Scenario, options: &Options) -> anyhow::Result<Summary> {
    let generator = Generator::new(scenario, wasm, options.seed);
    let campaign =
        Campaign { streams: options.generate, streams_per_vm: options.streams_per_vm, threads: options.threads };
    let bar = progress::bar(options.generate, "comparing generated streams");
    let summary = campaign::run(pair, &generator, options.rules, campaign, &|done| bar.set_position(done));
    bar.finish_and_clear();
    summary.map_err(cannot_load)
}

impl Generated {
    fn new(seed: u64, summary: &Summary) -> Generated {
        let seconds = summary.elapsed.as_secs_f64();
        Generated {
            seed,
            streams: summary.streams,
            events: summary.events,
            vm_pairs: summary.vms,
            failed_alike: summary.failed_alike,
            seconds,
            streams_per_second: summary.streams as f64 / seconds.max(1e-9),
        }
    }
}

/// Shrinks the scenario and explains the difference.
fn difference(
    pair: &Pair,
    scenario: Scenario,
    divergence: Divergence,
    options: &Options,
) -> anyhow::Result<Difference> {
    let runs_of = |scenario: &Scenario| lockstep::run(pair, scenario, options.rules).ok()?.divergence;
    // A nondeterministic difference does not show in every run, so a candidate gets several attempts.
    let attempts = if (0..3).all(|_| runs_of(&scenario).is_some()) { 1 } else { 12 };
    let spinner = progress::spinner("shrinking the scenario");
    let shrunk = shrink(scenario, Limits::default(), |candidate| (0..attempts).any(|_| runs_of(candidate).is_some()));
    let scenario = shrunk.scenario;
    let mut shown = (0..10).filter_map(|_| runs_of(&scenario)).collect::<Vec<_>>();
    let shows_in_ten = shown.len() as u32;
    // If no run shows the difference, report the one seen first.
    let divergence = shown.pop().unwrap_or(divergence);
    let explanation = explain(pair, &scenario, &divergence);
    spinner.finish_and_clear();
    if let Some(path) = &options.minimal {
        let written = scenario.write(path);
        written.map_err(|error| usage(format!("{} cannot be written: {error}", path.display())))?;
    }
    let [native, wasm] = divergence.found.values.clone();
    let at = dynvm_compare::text::common_prefix(&native, &wasm);
    let excerpt = |text: &str| dynvm_compare::text::excerpt(text, at);
    Ok(Difference {
        step: step_name(divergence.step.map_or(0, |index| index + 1), &scenario),
        aspect: divergence.found.aspect.clone(),
        native: excerpt(&native),
        wasm: excerpt(&wasm),
        trace: align(&divergence.lines[0], &divergence.lines[1]),
        explanation,
        scenario: Minimal {
            file: options.minimal.clone(),
            steps: scenario.steps.len(),
            runs: shrunk.runs,
            complete: shrunk.complete,
            shows_in_ten,
        },
    })
}
