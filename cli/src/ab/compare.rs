//! Whether both builds do the same, by all that passes between plugin and host; and where not, the least that shows it.

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

/// What comparing gave.
pub struct Comparison {
    /// Steps that were compared, the start among them.
    pub steps: usize,
    /// The first difference.
    pub difference: Option<Difference>,
    /// How the VMs failed, if they did: native, wasm.
    pub failures: [Option<String>; 2],
    /// Kinds of failures that both builds have in common, those of generated traffic among them.
    pub common_failures: Vec<CommonFailure>,
    /// What was passed over, by which rules.
    pub rules: Vec<AppliedRule>,
    /// What was generated, if anything.
    pub generated: Option<Generated>,
}

/// What one build did and the other did not.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// Where.
    pub step: String,
    /// In what.
    pub aspect: String,
    /// What the native build did.
    pub native: String,
    /// What the wasm build did.
    pub wasm: String,
    /// Both traces around it.
    pub trace: Vec<Row>,
    /// What experiments showed.
    pub explanation: Explanation,
    /// The scenario that shows it.
    pub scenario: Minimal,
}

/// The smallest scenario that shows a difference.
#[derive(Clone, Debug, Serialize)]
pub struct Minimal {
    /// Where it was written, if anywhere.
    pub file: Option<PathBuf>,
    /// Its steps.
    pub steps: usize,
    /// Runs of both builds that it took to find it.
    pub runs: u64,
    /// Whether nothing more can be left out of it.
    pub complete: bool,
    /// How many of ten runs of it show the difference.
    pub shows_in_ten: u32,
}

/// Generated traffic that was compared.
#[derive(Clone, Debug, Serialize)]
pub struct Generated {
    /// The seed.
    pub seed: u64,
    /// Streams.
    pub streams: u64,
    /// Callbacks and hostcalls.
    pub events: u64,
    /// Pairs of VMs that were started.
    pub vm_pairs: u64,
    /// Pairs of VMs that failed alike.
    pub failed_alike: u64,
    /// Seconds that it took.
    pub seconds: f64,
    /// Streams in a second, through both builds and compared.
    pub streams_per_second: f64,
}

/// What to compare, and how.
pub struct Options {
    pub rules: Rules,
    /// Streams to generate; 0: none.
    pub generate: u64,
    pub seed: u64,
    pub streams_per_vm: u64,
    pub threads: usize,
    /// Where to write the smallest scenario that shows a difference.
    pub minimal: Option<PathBuf>,
}

impl Comparison {
    /// Whether times mean anything: both builds serve all of the traffic.
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

/// The scenario to the step in which the builds part.
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

/// Makes the scenario smaller and tells why the builds part.
fn difference(
    pair: &Pair,
    scenario: Scenario,
    divergence: Divergence,
    options: &Options,
) -> anyhow::Result<Difference> {
    let runs_of = |scenario: &Scenario| lockstep::run(pair, scenario, options.rules).ok()?.divergence;
    // What depends on chance does not show in each run: a candidate gets several.
    let attempts = if (0..3).all(|_| runs_of(&scenario).is_some()) { 1 } else { 12 };
    let spinner = progress::spinner("making the scenario smaller");
    let shrunk = shrink(scenario, Limits::default(), |candidate| (0..attempts).any(|_| runs_of(candidate).is_some()));
    let scenario = shrunk.scenario;
    let mut shown = (0..10).filter_map(|_| runs_of(&scenario)).collect::<Vec<_>>();
    let shows_in_ten = shown.len() as u32;
    // Should chance have it that none shows, the first one that was seen is shown.
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
