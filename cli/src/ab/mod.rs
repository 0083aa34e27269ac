//! `dynvm ab`: sends the same traffic through the native and the wasm build of a plugin and compares behavior and cost.

mod compare;
mod differential;
mod divergence;
mod environment;
mod measure;
mod options;
mod report;
mod thresholds;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use dynvm::inspect::{Inspection, inspect_loaded};
use dynvm::trust::TrustPolicy;
use dynvm::{Artifact, Module};
use dynvm_compare::rules::Rules;

use crate::artifact::{self, Backend};
use crate::envoy::trial::{self, Plan, Selected, TrialArgs};
use crate::exit::{DIFFERS, cannot_load};
use crate::policy::PolicyArg;
use crate::progress;
use crate::scenario::{Scenario, TrafficArgs};
use crate::start::start;
use compare::Comparison;
use measure::Measured;
pub use measure::statistics::Estimate;
use options::{MeasureArgs, MeasureOptions};
use thresholds::Facts;

/// Compare the native and the wasm build of a plugin: results, time, memory.
///
/// The traffic first runs through both builds, step by step, and everything exchanged between
/// plugin and host is compared: callbacks and hostcalls with their values, logs, metrics,
/// responses, requests as they reach the upstream. With --generate, N more streams are generated
/// and compared. A difference is shrunk to a minimal reproducer. The traffic then repeats, with the
/// builds interleaved, to measure the time of each callback, cold start, memory, CPU time, and the
/// cost of additional headers and body. Without --request, the traffic comes from scenario.json in
/// the plugin's directory, or is a few standard requests.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dynvm ab examples/plugins/jwt-auth                     build both, compare, measure
  dynvm ab plugin.so plugin.wasm --scenario traffic.json
  dynvm ab my-plugin --duration 10 --pin 3 --html report.html --json report.json
  dynvm ab my-plugin --fail-if 'ratio.traffic.p50 > 0.8' --fail-if 'native.memory > 4 MiB'
  dynvm ab my-plugin --fail-if 'native.on_request_headers.p99 > 20us'
  dynvm ab my-plugin --generate 1000000 --duration 0     compare a million generated streams
  dynvm ab my-plugin --traffic recorded.har              replay traffic of a browser or a proxy
  dynvm ab my-plugin --scenario minimal.json             rerun a minimal reproducer
  dynvm ab my-plugin --envoy /usr/bin/envoy              also in Envoy: V8, and DynVM's module

A threshold (--fail-if) is NAME OP VALUE[UNIT]. Names: native, wasm and ratio of stream, traffic and
callbacks as .p50 .p90 .p99 .mean; load, start, first_stream, memory, size, cpu, instructions, headers.N, body.N.
An unknown name prints the full list. Operators: < <= > >=; units: ns us ms s, B KiB MiB GiB, %.

Exit codes: 0 same behavior and all thresholds passed, 1 the builds differ or a threshold did not pass,
2 wrong usage, 3 an artifact cannot be built or loaded.

Times cover the plugin's callbacks, with timer overhead subtracted; the simulated proxy is not included.")]
pub struct AbArgs {
    /// Source directory, which is built first, or the two builds: a shared object and a wasm module, in any order.
    #[arg(value_name = "DIR|FILE", required = true, num_args = 1..=2)]
    plugins: Vec<PathBuf>,
    #[command(flatten)]
    measure: MeasureArgs,
    #[command(flatten)]
    differential: differential::DifferentialArgs,
    #[command(flatten)]
    envoy: TrialArgs,
    #[command(flatten)]
    policy: PolicyArg,
    #[command(flatten)]
    traffic: TrafficArgs,
}

/// One of the two builds. All results refer to these bytes: the file is read once.
struct Side {
    artifact: Artifact,
    module: Module,
    /// SDK and compilers, as far as the artifact shows them.
    inspection: Inspection,
    /// Time to check and, for wasm, compile the artifact.
    load: Duration,
}

pub fn execute(args: &AbArgs) -> anyhow::Result<ExitCode> {
    // Before the build, so that a mistake in an option or in the scenario is reported at once.
    let policy = args.policy.read()?;
    let measuring = args.measure.options(policy.clone())?;
    // Before a thread is bound to a CPU, which would change the number of usable CPUs.
    let environment = environment::Environment::read();
    let dir = args.plugins.first().filter(|path| path.is_dir());
    let scenario = args.traffic.scenario(dir.map(PathBuf::as_path))?;
    let comparing = args.differential.options(args.traffic.traffic.is_some());
    let envoy = args.envoy.select()?;
    let pair = artifact::pair(&args.plugins, policy.as_ref())?;

    let spinner = progress::spinner("loading and compiling");
    let sides = [load(pair.native, Backend::Native, policy.clone())?, load(pair.wasm, Backend::Wasm, policy)?];
    spinner.finish_and_clear();

    let comparison = compare::compare(&sides, &scenario, &comparing)?;
    let envoy = envoy.map(|envoy| args.trial(&envoy, &sides, &scenario, comparing.rules)).transpose()?;
    let measured = measure(&sides, &scenario, &comparison, &measuring)?;
    let mut report = report::Report::new(report::Parts {
        dir: pair.dir.as_deref(),
        sides: &sides,
        scenario: &scenario,
        comparison: &comparison,
        measured: measured.as_ref().ok(),
        not_measured: measured.as_ref().err().cloned(),
        environment,
        envoy,
    });
    report.decide(&measuring.thresholds);
    measuring.output.write(&report)?;
    Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) })
}

/// Measures, or returns the reason for skipping the measurement.
///
/// # Errors
///
/// A threshold refers to a value that cannot be measured, or a VM does not start.
fn measure(
    sides: &[Side; 2],
    scenario: &Scenario,
    comparison: &Comparison,
    options: &MeasureOptions,
) -> anyhow::Result<Result<Measured, String>> {
    let Some(plan) = &options.plan else { return Ok(Err("--duration is 0".to_owned())) };
    if !comparison.is_measurable() {
        return Ok(Err("a VM failed".to_owned()));
    }
    if !options.thresholds.is_empty() {
        let facts = Facts::of(sides, scenario)?;
        options.thresholds.iter().try_for_each(|threshold| threshold.check(&facts))?;
    }
    measure::measure(sides, scenario, plan).map(Ok)
}

impl AbArgs {
    /// Sends the traffic through Envoy.
    fn trial(
        &self,
        envoy: &Selected,
        sides: &[Side; 2],
        scenario: &Scenario,
        rules: Rules,
    ) -> anyhow::Result<trial::EnvoyReport> {
        let builds = sides.each_ref().map(|side| side.artifact.bytes.as_ref());
        let (generate, seed) = self.differential.generated();
        let plan = Plan { rules, duration: self.measure.duration(), generate, seed };
        trial::run(envoy, builds, scenario, &plan)
    }
}

fn load(artifact: Artifact, backend: Backend, policy: Option<TrustPolicy>) -> anyhow::Result<Side> {
    let loader = artifact::loader_of(backend, policy)?;
    let start = std::time::Instant::now();
    let module = loader.load_artifact(&artifact).map_err(cannot_load)?;
    let load = start.elapsed();
    let inspection = inspect_loaded(&loader, &artifact, &module);
    Ok(Side { artifact, module, inspection, load })
}

impl Side {
    /// A host with a new VM of this build and the plugin started.
    fn host(&self, scenario: &Scenario) -> anyhow::Result<dynvm_sim::SimProxy> {
        start(scenario.host(), &self.module, None)
    }
}

/// Name of a step in messages.
fn step_name(index: usize, scenario: &Scenario) -> String {
    match index.checked_sub(1) {
        None => "the start of the plugin".to_owned(),
        Some(index) => format!("step {} ({})", index + 1, scenario.steps[index].title()),
    }
}
