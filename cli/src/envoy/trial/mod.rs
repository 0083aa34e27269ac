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
use dynvm_compare::rules::{Applied, AppliedRule, Rule, Rules};
use dynvm_compare::text::{common_prefix, excerpt};
use dynvm_differential::generate::Generator;
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
        let module = match &self.module {
            Some(path) => Some(absolute(path)?),
            None => module_beside(),
        };
        Ok(Some(Selected { envoy, version, module }))
    }
}

/// The module beside this program.
pub fn module_beside() -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.with_file_name("libdynvm_envoy.so")).filter(|path| path.is_file())
}

/// The result of a trial.
#[derive(Clone, Debug, Serialize)]
pub struct EnvoyReport {
    /// The Envoy.
    pub path: PathBuf,
    pub version: String,
    pub module: Option<PathBuf>,
    /// Compared steps.
    pub steps: usize,
    /// Titles of the scenario's steps that cannot be sent through a proxy.
    pub skipped: Vec<String>,
    /// What was not compared, as two runs with V8 differ in it.
    pub unstable: Vec<String>,
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
    /// Number of steps, the first ones, that are also measured.
    measured: usize,
    upstream: Upstream,
    /// Upstreams of the plugin's calls, by cluster. None: calls there fail.
    calls: Vec<(String, Option<Upstream>)>,
    interrupt: Interrupt,
}

/// Options of a trial.
pub struct Plan {
    pub rules: Rules,
    /// Duration of the measurement; zero skips it.
    pub duration: Duration,
    /// Number of generated streams that are compared too, up to [`MOST_GENERATED`].
    pub generate: u64,
    pub seed: u64,
}

/// Through a real proxy they take a thousand times as long as through the simulated one.
const MOST_GENERATED: u64 = 500;

/// Compares and measures.
///
/// # Errors
///
/// An Envoy does not start, or ends; its files are kept then.
pub fn run(
    selected: &Selected,
    [native, wasm]: [&[u8]; 2],
    scenario: &Scenario,
    plan: &Plan,
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
    let (mut traffic, skipped) = traffic::of_scenario(scenario);
    let measured = traffic.len();
    if plan.generate > 0 {
        let generator = Generator::new(scenario, wasm, plan.seed);
        // What is no request, or none that HTTP/1.1 can carry, is left to the simulated proxy.
        traffic.extend(traffic::of_scenario(&generator.scenario(0, plan.generate.min(MOST_GENERATED))).0);
    }
    let mut calls: Vec<(String, Option<Upstream>)> = Vec::new();
    for call in &scenario.http_calls {
        if !calls.iter().any(|(name, _)| *name == call.upstream) {
            calls.push((call.upstream.clone(), Upstream::of_call(call)?));
        }
    }
    let interrupt = Interrupt::hold_back()?;
    let trial = Trial { files, scenario, traffic, measured, upstream: Upstream::start()?, calls, interrupt };
    let done = trial.compare(plan.rules, dir.path()).and_then(|compared| {
        let skip = plan.duration.is_zero();
        let setups = if skip { Vec::new() } else { measure::measure(&trial, plan.duration, dir.path())? };
        Ok((compared, setups))
    });
    let steps = trial.traffic.len();
    // All Envoys have ended here.
    if trial.interrupt.check().is_err() {
        drop(dir);
        trial.interrupt.deliver();
        return Err(load_failure("interrupted"));
    }
    match done {
        Ok((Compared { differences, applied, unstable }, setups)) => Ok(EnvoyReport {
            path: selected.envoy.clone(),
            version: selected.version.clone(),
            module: selected.module.clone(),
            steps,
            skipped,
            unstable,
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

    /// Compares each setup of the module with V8.
    fn compare(&self, rules: Rules, dir: &Path) -> anyhow::Result<Compared> {
        let mut compared = Compared { differences: Vec::new(), applied: Applied::default(), unstable: Vec::new() };
        if self.files.module.is_none() || !self.traffic.iter().any(|step| matches!(step, Sent::Request { .. })) {
            return Ok(compared);
        }
        let pass = |setup: Setup, dir: &Path| {
            let spinner = progress::spinner(&format!("comparing in Envoy: {}", setup.title()));
            let traces = behavior::pass(self, setup, dir);
            spinner.finish_and_clear();
            traces.map_err(|error| error.context(setup.title()))
        };
        let v8 = pass(Setup::V8, &dir.join("v8"))?;
        let rules = self.stable(&v8, &pass(Setup::V8, &dir.join("v8-again"))?, rules, &mut compared.unstable);
        for setup in self.setups().filter(|setup| setup.is_module()) {
            let mut traces = pass(setup, &dir.join(format!("{setup:?}")))?;
            if rules.iter().flatten().any(|rules| rules.has(Rule::CallForwardedFor)) {
                behavior::drop_forwarded_for(&mut traces, &v8, &mut compared.applied);
            }
            compared.differences.extend(self.difference(setup, &traces, &v8, &rules, &mut compared.applied));
        }
        Ok(compared)
    }

    /// The rules for each trace. What two runs of the same setup differ in says nothing about another: the text of the log
    /// and the values of metrics are not compared then, or the whole trace (`None`).
    fn stable(&self, once: &[Trace], again: &[Trace], rules: Rules, unstable: &mut Vec<String>) -> Vec<Option<Rules>> {
        let mut for_trace = |(index, (once, again)): (usize, (&Trace, &Trace))| {
            let weaker = [rules, rules.allow(Rule::LogText), rules.allow(Rule::MetricValues)];
            let differs = |rules: &Rules| first_difference(once, again, rules, &mut Applied::default());
            let found = differs(&rules)?;
            let usable = weaker.into_iter().find(|rules| differs(rules).is_none());
            let aspect = if usable.is_some() { found.aspect.as_str() } else { "everything" };
            unstable.push(format!("{aspect} in {}", self.title(index)));
            Some(usable)
        };
        let pairs = once.iter().zip(again).enumerate();
        pairs.map(|pair| for_trace(pair).unwrap_or(Some(rules))).collect()
    }

    fn difference(
        &self,
        setup: Setup,
        traces: &[Trace],
        v8: &[Trace],
        rules: &[Option<Rules>],
        applied: &mut Applied,
    ) -> Option<EnvoyDifference> {
        traces.iter().zip(v8).zip(rules).enumerate().find_map(|(index, ((trace, v8), rules))| {
            let found = first_difference(trace, v8, rules.as_ref()?, applied)?;
            let [value, v8] = found.values;
            let at = common_prefix(&value, &v8);
            Some(EnvoyDifference {
                setup,
                step: self.title(index).to_owned(),
                aspect: found.aspect,
                value: excerpt(&value, at),
                v8: excerpt(&v8, at),
            })
        })
    }

    /// The title of a trace: that of its step, or of one of the two traces after the steps.
    fn title(&self, index: usize) -> &str {
        match index.checked_sub(self.traffic.len()) {
            None => self.traffic[index].title(),
            Some(0) => "the log",
            Some(_) => "the metrics",
        }
    }
}

/// The result of a comparison.
struct Compared {
    differences: Vec<EnvoyDifference>,
    applied: Applied,
    unstable: Vec<String>,
}
