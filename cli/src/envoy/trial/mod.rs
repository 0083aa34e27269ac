//! The trial of `dynvm ab --envoy`: the same traffic through a stock Envoy without a plugin, with its wasm build in V8, and
//! with both builds in DynVM's module.
//!
//! ```text
//!   config     Envoy's configuration for each setup
//!   process    a running Envoy
//!   http1      messages on connections
//!   upstream   the servers behind Envoy
//!   traffic    the scenario's requests, and the client
//!   log        plugins' messages in Envoy's log
//!   behavior   one pass, as a trace that is compared
//!   measure    bursts, for CPU time, latency and memory
//!   interrupt  signals
//! ```

mod behavior;
mod config;
mod http1;
mod interrupt;
mod log;
mod measure;
mod process;
mod traffic;
mod upstream;

use std::path::{Path, PathBuf};
use std::time::Duration;

use dynvm_compare::difference::first_difference;
use dynvm_compare::rules::{Applied, AppliedRule, Rules};
use dynvm_compare::text::{common_prefix, excerpt};
use serde::Serialize;

use crate::exit::{load_failure, usage};
use crate::progress;
use crate::scenario::Scenario;
use behavior::Trace;
pub use config::Setup;
use config::{Files, Ports};
use interrupt::Interrupt;
pub use measure::SetupNumbers;
use process::Envoy;
use traffic::Sent;
use upstream::Upstream;

/// Selects an Envoy.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Envoy")]
pub struct TrialArgs {
    /// Also send the traffic through this Envoy: without a plugin, with the wasm build in V8, and with both builds in
    /// DynVM's module. Starts it on free ports of this machine and ends it.
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,
    /// DynVM's module for Envoy [default: libdynvm_envoy.so beside this program].
    #[arg(long, value_name = "PATH", requires = "envoy")]
    module: Option<PathBuf>,
}

/// An Envoy that can be used, and the module.
pub struct Selected {
    envoy: PathBuf,
    version: String,
    module: Option<PathBuf>,
}

impl TrialArgs {
    /// Checks what can be checked before a plugin is built.
    ///
    /// # Errors
    ///
    /// There is no such Envoy or module.
    pub fn select(&self) -> anyhow::Result<Option<Selected>> {
        let Some(envoy) = &self.envoy else { return Ok(None) };
        let absolute = |path: &Path| path.canonicalize().map_err(|error| usage(format!("{}: {error}", path.display())));
        let version = process::version(envoy).map_err(|error| usage(format!("--envoy: {error:#}")))?;
        // A bare name is found as a shell finds it.
        let envoy = if envoy.components().count() > 1 { absolute(envoy)? } else { envoy.clone() };
        let beside =
            || Some(std::env::current_exe().ok()?.with_file_name("libdynvm_envoy.so")).filter(|path| path.is_file());
        let module = match &self.module {
            Some(path) => Some(absolute(path)?),
            None => beside(),
        };
        Ok(Some(Selected { envoy, version, module }))
    }
}

/// The result of a trial.
#[derive(Clone, Debug, Serialize)]
pub struct EnvoyReport {
    /// The Envoy.
    pub path: PathBuf,
    pub version: String,
    pub module: Option<PathBuf>,
    /// Compared steps, and one of log and metrics.
    pub steps: usize,
    /// Titles of the scenario's steps that cannot be sent through a proxy.
    pub skipped: Vec<String>,
    /// The first difference of each setup from V8.
    pub differences: Vec<EnvoyDifference>,
    /// Rules that applied, with the number of ignored differences.
    pub rules: Vec<AppliedRule>,
    pub setups: Vec<SetupNumbers>,
}

/// A difference of a setup from the wasm build in V8.
#[derive(Clone, Debug, Serialize)]
pub struct EnvoyDifference {
    pub setup: Setup,
    pub step: String,
    pub aspect: String,
    /// The value in this setup.
    pub value: String,
    /// The value with V8.
    pub v8: String,
}

/// A trial that is being made.
struct Trial<'a> {
    files: Files,
    scenario: &'a Scenario,
    traffic: Vec<Sent>,
    upstream: Upstream,
    /// Upstreams of the plugin's calls, by cluster. None: calls there fail.
    calls: Vec<(String, Option<Upstream>)>,
    interrupt: Interrupt,
}

/// Compares and measures. `duration` zero skips measuring.
///
/// # Errors
///
/// An Envoy does not start, or ends; its files are kept then.
pub fn run(
    selected: &Selected,
    [native, wasm]: [&[u8]; 2],
    scenario: &Scenario,
    rules: Rules,
    duration: Duration,
) -> anyhow::Result<EnvoyReport> {
    let dir = tempfile::Builder::new().prefix("dynvm-envoy-").tempdir()?;
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).map(|()| path)
    };
    let files = Files {
        envoy: selected.envoy.clone(),
        native: file("plugin.so", native)?,
        wasm: file("plugin.wasm", wasm)?,
        module: selected.module.clone(),
    };
    let (traffic, skipped) = traffic::of_scenario(scenario);
    let mut calls: Vec<(String, Option<Upstream>)> = Vec::new();
    for call in &scenario.http_calls {
        if !calls.iter().any(|(name, _)| *name == call.upstream) {
            calls.push((call.upstream.clone(), Upstream::of_call(call)?));
        }
    }
    let interrupt = Interrupt::hold_back()?;
    let trial = Trial { files, scenario, traffic, upstream: Upstream::start()?, calls, interrupt };
    let mut applied = Applied::default();
    let done = trial.differences(rules, &mut applied, dir.path()).and_then(|differences| {
        let measured = if duration.is_zero() { Vec::new() } else { measure::measure(&trial, duration, dir.path())? };
        Ok((differences, measured))
    });
    let steps = trial.traffic.len() + 1;
    // All Envoys have ended here.
    trial.interrupt.deliver();
    match done {
        Ok((differences, setups)) => Ok(EnvoyReport {
            path: selected.envoy.clone(),
            version: selected.version.clone(),
            module: selected.module.clone(),
            steps,
            skipped,
            differences,
            rules: applied.list(),
            setups,
        }),
        Err(error) => Err(load_failure(format!("{error:#}\nThe files of this Envoy are in {}", dir.keep().display()))),
    }
}

impl Trial<'_> {
    fn setups(&self) -> impl Iterator<Item = Setup> + use<> {
        let has_module = self.files.module.is_some();
        let all = [Setup::NoFilter, Setup::V8, Setup::ModuleNative, Setup::ModuleWasm];
        all.into_iter().filter(move |setup| has_module || !setup.is_module())
    }

    fn start(&self, setup: Setup, dir: &Path, arguments: &[&str]) -> anyhow::Result<Envoy> {
        // A port on which nobody listens.
        let closed = 1;
        let calls =
            self.calls.iter().map(|(name, upstream)| (name.clone(), upstream.as_ref().map_or(closed, |up| up.port)));
        let ports = Ports { upstream: self.upstream.port, calls: calls.collect() };
        let config = config::bootstrap(setup, &self.files, self.scenario, &ports);
        let envoy = Envoy::start(&self.files.envoy, &config, dir, arguments, &self.interrupt);
        envoy.map_err(|error| error.context(setup.title()))
    }

    fn record(&self, on: bool) {
        self.upstream.record(on);
        self.calls.iter().filter_map(|(_, upstream)| upstream.as_ref()).for_each(|upstream| upstream.record(on));
    }

    /// The first difference of each setup from V8.
    fn differences(&self, rules: Rules, applied: &mut Applied, dir: &Path) -> anyhow::Result<Vec<EnvoyDifference>> {
        let pass = |setup: Setup| {
            let spinner = progress::spinner(&format!("comparing in Envoy: {}", setup.title()));
            let traces = behavior::pass(self, setup, &dir.join(format!("{setup:?}")));
            spinner.finish_and_clear();
            traces.map_err(|error| error.context(setup.title()))
        };
        let v8 = pass(Setup::V8)?;
        let mut found = Vec::new();
        for setup in self.setups().filter(|setup| setup.is_module()) {
            found.extend(self.difference(setup, &pass(setup)?, &v8, rules, applied));
        }
        Ok(found)
    }

    fn difference(
        &self,
        setup: Setup,
        traces: &[Trace],
        v8: &[Trace],
        rules: Rules,
        applied: &mut Applied,
    ) -> Option<EnvoyDifference> {
        traces.iter().zip(v8).enumerate().find_map(|(index, (trace, v8))| {
            let found = first_difference(trace, v8, &rules, applied)?;
            let step = self.traffic.get(index).map_or("log and metrics", Sent::title).to_owned();
            let [value, v8] = found.values;
            let at = common_prefix(&value, &v8);
            Some(EnvoyDifference {
                setup,
                step,
                aspect: found.aspect,
                value: excerpt(&value, at),
                v8: excerpt(&v8, at),
            })
        })
    }
}
