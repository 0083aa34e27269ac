//! Options of the differential run.

use std::path::PathBuf;

use dynvm_compare::rules::{Rule, Rules};

use super::compare::Options;
use crate::exit::usage;

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Differential run")]
pub struct DifferentialArgs {
    /// Also compare N streams generated from --seed, with a dictionary taken from the scenario, the
    /// configuration and the binary.
    #[arg(long, value_name = "N", default_value = "0")]
    generate: u64,
    /// Seed of the generated streams; the same seed generates the same streams.
    #[arg(long, value_name = "S", default_value = "0")]
    seed: u64,
    /// Number of streams per VM of each build before new VMs are started.
    #[arg(long, value_name = "N", default_value = "200", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    streams_per_vm: u64,
    /// Threads for generated streams [default: one per CPU].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// File for the minimal reproducer of a difference [default: minimal.json with --generate or --traffic].
    #[arg(long, value_name = "FILE")]
    minimal: Option<PathBuf>,
    /// Report declared differences (docs/differences.md) too.
    #[arg(long)]
    strict: bool,
    /// Ignore this kind of difference, in addition to the defaults; with --strict, ignore only
    /// these. Repeatable. Ignored by default: size-width, failure-text, panic-text,
    /// panic-unwinding, standard-output, call-forwarded-for. Not ignored by default: log-text, metric-values.
    #[arg(
        long,
        value_name = "NAME",
        value_parser = clap::builder::PossibleValuesParser::new(Rule::ALL.map(Rule::name)),
        hide_possible_values = true
    )]
    allow: Vec<String>,
}

impl DifferentialArgs {
    /// Number of generated streams, and their seed.
    pub fn generated(&self) -> (u64, u64) {
        (self.generate, self.seed)
    }

    /// Converts the arguments. `recorded`: the traffic comes from a --traffic file.
    pub fn options(&self, recorded: bool) -> anyhow::Result<Options> {
        let mut rules = if self.strict { Rules::strict() } else { Rules::default() };
        for name in &self.allow {
            let rule = Rule::named(name).ok_or_else(|| usage(format!("--allow {name}: unknown rule")))?;
            rules = rules.allow(rule);
        }
        let default = (self.generate > 0 || recorded).then(|| PathBuf::from("minimal.json"));
        Ok(Options {
            rules,
            generate: self.generate,
            seed: self.seed,
            streams_per_vm: self.streams_per_vm,
            threads: self.jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from),
            minimal: self.minimal.clone().or(default),
        })
    }
}
