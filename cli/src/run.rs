//! `dynvm run`: sends requests through a plugin and prints what it did.

use std::path::PathBuf;
use std::process::ExitCode;

use dynvm::call_trace::{Event, Tracer};
use dynvm::observe::Observer;

use crate::artifact::{self, Backend};
use crate::exit::{DIFFERS, usage};
use crate::policy::PolicyArg;
use crate::scenario::{TrafficArgs, drive};
use crate::start::start;
use crate::stats::{self, StatsFormat};
use crate::{print, progress};

/// Send requests through a plugin and print what it did.
///
/// The plugin runs in a simulated proxy with no network and a clock that moves only between steps. Without
/// --request the traffic comes from scenario.json in the plugin's directory, or is a few standard requests.
/// The upstream answers 200 and echoes the request's body.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dynvm run examples/plugins/header-rewrite
  dynvm run plugin.so --request 'GET /admin' --header 'authorization: Bearer x' --config @config.json
  dynvm run plugin.wasm --request 'POST /' --body @body.json --trace
  dynvm run my-plugin --stats=json | jq '.plugins[].callbacks'
  dynvm run plugin.so --policy trust.toml --request /
  dynvm run my-plugin --backend wasm --scenario traffic.json")]
pub struct RunArgs {
    /// Plugin: a shared object, a wasm module (detected by content), or a source directory, which is built first.
    #[arg(value_name = "FILE|DIR")]
    plugin: PathBuf,
    /// Build of a directory, or part of a fat plugin, to run [default: native].
    #[arg(long, value_name = "BACKEND")]
    backend: Option<Backend>,
    /// Print each callback and hostcall with its arguments and results.
    #[arg(long, short)]
    trace: bool,
    /// Print counts and durations of callbacks by plugin, and VM starts, failures and reloads.
    #[arg(long, value_name = "FORMAT", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    stats: Option<StatsFormat>,
    #[command(flatten)]
    policy: PolicyArg,
    #[command(flatten)]
    traffic: TrafficArgs,
}

struct Print;

impl Tracer for Print {
    fn event(&mut self, event: Event) {
        anstream::println!("  {}", print::event(&event));
    }
}

pub fn execute(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let quiet = matches!(args.stats, Some(StatsFormat::Prometheus | StatsFormat::Json));
    if quiet && args.trace {
        return Err(usage(
            "--trace cannot be combined with --stats=prometheus or --stats=json, whose output must contain \
             nothing else; remove one of them",
        ));
    }
    let dir = args.plugin.is_dir().then_some(args.plugin.as_path());
    let scenario = args.traffic.scenario(dir)?;
    let policy = args.policy.read()?;
    let path = artifact::single(&args.plugin, args.backend)?;
    let spinner = progress::spinner("loading");
    let loader = artifact::loader_of(args.backend.unwrap_or(Backend::Native), policy)?;
    let module = artifact::load(&loader, &path)?;
    spinner.finish_and_clear();
    let tracer = args.trace.then(|| Box::new(Print) as Box<dyn Tracer>);
    let mut builder = scenario.host();
    let observer = args.stats.map(|_| Observer::new());
    if let Some(observer) = &observer {
        builder = builder.observer(observer.clone());
    }
    let mut host = start(builder, &module, tracer)?;
    let mut metrics = Vec::new();
    let mut failed = false;
    drive(&mut host, &scenario, |step, seen| {
        if !quiet {
            print::observed(step, &seen, &metrics);
        }
        for upstream in seen.unanswered(&scenario) {
            print::unanswered(&upstream);
        }
        failed |= seen.failure.is_some();
        metrics = seen.metrics;
    })?;
    if let (Some(format), Some(observer)) = (args.stats, &observer) {
        stats::print(format, observer, &metrics)?;
    }
    Ok(if failed { ExitCode::from(DIFFERS) } else { ExitCode::SUCCESS })
}
