//! Cold start: loading, compiling, starting a VM, and its first stream.

use std::time::{Duration, Instant};

use dynvm::Loader;

use super::Plan;
use super::clock::Clock;
use super::statistics::Estimate;
use super::traffic::TimedHost;
use crate::ab::Side;
use crate::artifact::{self, Backend};
use crate::exit::{cannot_load, load_failure};
use crate::scenario::{Scenario, Step, drive_step};

/// Times in nanoseconds, with the artifacts in memory. Arrays are native, wasm.
pub struct ColdStart {
    /// Checking and patching the shared object.
    pub native_load: Estimate,
    /// Checking and compiling the module.
    pub wasm_compile: Estimate,
    /// Loading the module with its compiled code in the disk cache, or the reason why it was not measured.
    pub wasm_cached: Result<Estimate, String>,
    /// Starting a VM and configuring the plugin, from a loaded module.
    pub start: [Estimate; 2],
    /// The callbacks of the first stream in a new VM; `None` if the scenario has no stream.
    pub first_stream: [Option<Estimate>; 2],
}

/// Number of VMs to start.
const STARTS: usize = 30;

pub fn measure(sides: &[Side; 2], scenario: &Scenario, plan: &Plan, clock: &Clock) -> anyhow::Result<ColdStart> {
    let [native, wasm] = sides;
    let native_loader = artifact::loader_of(Backend::Native, plan.policy.clone())?;
    let native_load = repeat(plan.share(3), 1..=20, || load(&native_loader, native))?;
    let wasm_loader = artifact::loader_of(Backend::Wasm, plan.policy.clone())?;
    let wasm_compile = repeat(plan.share(7), 1..=10, || load(&wasm_loader, wasm))?;
    let wasm_cached = cached(wasm, plan).map_err(|error| format!("{error:#}"));

    let mut starts: [Vec<f64>; 2] = Default::default();
    let mut firsts: [Vec<f64>; 2] = Default::default();
    for round in 0..STARTS {
        for side in [round % 2, 1 - round % 2] {
            let start = Instant::now();
            let host = sides[side].host(scenario)?;
            starts[side].push(start.elapsed().as_nanos() as f64);
            drop(host);
            firsts[side].extend(first_stream(&sides[side], scenario, clock)?);
        }
    }
    let median = |samples: &Vec<f64>| Estimate::median_of(samples).unwrap_or(Estimate::point(0.0));
    Ok(ColdStart {
        native_load,
        wasm_compile,
        wasm_cached,
        start: starts.each_ref().map(median),
        first_stream: firsts.each_ref().map(|samples| Estimate::median_of(samples)),
    })
}

/// Loads the module from a populated cache.
fn cached(wasm: &Side, plan: &Plan) -> anyhow::Result<Estimate> {
    let dir = tempfile::tempdir()?;
    let mut options = dynvm::wasm::Options::default();
    options.cache_dir = Some(dir.path().to_owned());
    let loader = artifact::loader_with(Backend::Wasm, options, plan.policy.clone())?;
    load(&loader, wasm)?;
    repeat(plan.share(3), 1..=20, || load(&loader, wasm))
}

fn load(loader: &Loader, side: &Side) -> anyhow::Result<()> {
    loader.load_artifact(&side.artifact).map_err(cannot_load)?;
    Ok(())
}

/// Times the callbacks of the first stream in a fresh VM.
fn first_stream(side: &Side, scenario: &Scenario, clock: &Clock) -> anyhow::Result<Option<f64>> {
    let Some(step) = scenario.steps.iter().find(|step| !matches!(step, Step::Tick(_))) else { return Ok(None) };
    let mut timed = TimedHost::start(side, scenario)?;
    drive_step(&mut timed.host, step)?;
    Ok(Some(timed.take_total(clock) as f64))
}

/// Repeats `work` until the time is over, within the limits on the count; returns times in nanoseconds.
fn repeat(
    time: Duration,
    times: std::ops::RangeInclusive<usize>,
    mut work: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Estimate> {
    let begin = Instant::now();
    let mut samples = Vec::new();
    while samples.len() < *times.start() || (samples.len() < *times.end() && begin.elapsed() < time) {
        let start = Instant::now();
        work()?;
        samples.push(start.elapsed().as_nanos() as f64);
    }
    Estimate::median_of(&samples).ok_or_else(|| load_failure("nothing was loaded"))
}
