//! What is compared and how, from the command line.

use std::path::PathBuf;

use dynvm_compare::rules::{Rule, Rules};

use super::compare::Options;
use crate::exit::usage;

/// Options of the comparison.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Differential run")]
pub struct DifferentialArgs {
    /// Compare so many streams more, made up from a seed and the words of the plugin: its scenario, its configuration, its binary.
    #[arg(long, value_name = "N", default_value = "0")]
    generate: u64,
    /// The seed. The same one gives the same streams.
    #[arg(long, value_name = "S", default_value = "0")]
    seed: u64,
    /// Streams through one VM of each build before fresh ones are started.
    #[arg(long, value_name = "N", default_value = "200", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    streams_per_vm: u64,
    /// Threads for generated streams [default: one for each CPU].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Where to write the smallest scenario that shows a difference [default: minimal.json with --generate and --traffic].
    #[arg(long, value_name = "FILE")]
    minimal: Option<PathBuf>,
    /// Pass over nothing: also what docs/differences.md declares is a difference.
    #[arg(long)]
    strict: bool,
    /// Pass over one kind of difference: with --strict only that, else that too. Repeat it for several. size-width, failure-text,
    /// panic-text, panic-unwinding and standard-output are allowed by default, log-text and metric-values are not.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(Rule::ALL.map(Rule::name)), hide_possible_values = true)]
    allow: Vec<String>,
}

impl DifferentialArgs {
    /// What they say. `recorded`: the traffic comes from a file of traffic.
    pub fn options(&self, recorded: bool) -> anyhow::Result<Options> {
        let mut rules = if self.strict { Rules::strict() } else { Rules::default() };
        for name in &self.allow {
            let rule = Rule::named(name).ok_or_else(|| usage(format!("--allow {name}: there is no such rule")))?;
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
