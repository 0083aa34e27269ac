//! `dynvm ab`: the same traffic through the native and the wasm build of a plugin. Do they behave the same, and what is gained?

mod compare;
mod measure;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use dynvm::Module;
use dynvm::trust::TrustPolicy;

use crate::artifact::{self, Backend};
use crate::exit::{DIFFERS, load_failure};
use crate::policy::PolicyArg;
use crate::scenario::{Scenario, TrafficArgs};
use crate::{progress, show};

/// Compare the native and the wasm build of a plugin: results, time, memory.
///
/// First the traffic is taken through both once, and all that can be seen from outside is compared: responses, requests as they reach the
/// upstream, callbacks and their answers, calls, logs, metrics. Then it is repeated, in rounds that alternate between the two builds,
/// and the time of each callback is taken. Without --request the traffic is that of scenario.json in the plugin's directory, else a few
/// standard requests.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dynvm ab examples/plugins/jwt-auth                     builds both, compares, measures
  dynvm ab plugin.so plugin.wasm --scenario traffic.json
  dynvm ab my-plugin --duration 10 --format json > ab.json

Exit codes: 0 the two behave the same, 1 they differ, 2 wrong usage, 3 an artifact cannot be built or loaded.

Times are those of the plugin's callbacks, the time to take the time subtracted; the host in memory around them is not counted.")]
pub struct AbArgs {
    /// A plugin's directory, which is built first, or its two builds: one shared object and one wasm module, in any order.
    #[arg(value_name = "DIR|FILE", required = true, num_args = 1..=2)]
    plugins: Vec<PathBuf>,
    /// How long to measure, in seconds. 0 compares only.
    #[arg(long, value_name = "SECONDS", default_value = "2")]
    duration: f64,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    policy: PolicyArg,
    #[command(flatten)]
    traffic: TrafficArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// One of the two sides.
struct Side {
    path: PathBuf,
    module: Module,
    /// Time to read, check and, for wasm, compile the artifact.
    load: Duration,
}

pub fn execute(args: &AbArgs) -> anyhow::Result<ExitCode> {
    if !(0.0..=86_400.0).contains(&args.duration) {
        return Err(crate::exit::usage("--duration is a number of seconds, at most a day"));
    }
    // Before anything is built: a mistake in the scenario shows at once.
    let dir = args.plugins.first().filter(|path| path.is_dir());
    let scenario = args.traffic.scenario(dir.map(PathBuf::as_path))?;
    scenario.host()?;
    let policy = args.policy.read()?;
    let pair = artifact::pair(&args.plugins)?;

    let spinner = progress::spinner("loading and compiling");
    let sides = [load(&pair.native, Backend::Native, policy.clone())?, load(&pair.wasm, Backend::Wasm, policy)?];
    spinner.finish_and_clear();

    let comparison = compare::compare(&sides, &scenario)?;
    let measured = if args.duration > 0.0 && comparison.is_measurable() {
        Some(measure::measure(&sides, &scenario, Duration::from_secs_f64(args.duration))?)
    } else {
        None
    };
    let report = report::Report::new(pair.dir.as_deref(), &sides, &scenario, &comparison, measured.as_ref());
    match args.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&report)?),
        Format::Text => report.print(),
    }
    Ok(if comparison.difference.is_none() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) })
}

fn load(path: &Path, backend: Backend, policy: Option<TrustPolicy>) -> anyhow::Result<Side> {
    let loader = artifact::loader_of(backend, policy)?;
    let start = std::time::Instant::now();
    let module = artifact::load(&loader, path)?;
    Ok(Side { path: path.to_owned(), module, load: start.elapsed() })
}

impl Side {
    /// A host with a new VM of this side, the plugin started.
    fn host(&self, scenario: &Scenario) -> anyhow::Result<dynvm::memory::MemoryHost> {
        scenario.host()?.start(&self.module).map_err(load_failure)
    }
}

/// The name of a step in a message.
fn step_name(index: usize, scenario: &Scenario) -> String {
    match index.checked_sub(1) {
        None => "the start of the plugin".to_owned(),
        Some(index) => format!("step {} ({})", index + 1, show::title(&scenario.steps[index])),
    }
}
