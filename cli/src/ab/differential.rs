//! Options of the differential run.

use std::path::PathBuf;

use super::compare::Options;
use crate::rules::RuleArgs;

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
    #[command(flatten)]
    rules: RuleArgs,
}

impl DifferentialArgs {
    /// Number of generated streams, and their seed.
    pub fn generated(&self) -> (u64, u64) {
        (self.generate, self.seed)
    }

    /// Converts the arguments. `recorded`: the traffic comes from a --traffic file.
    pub fn options(&self, recorded: bool) -> Options {
        let default = (self.generate > 0 || recorded).then(|| PathBuf::from("minimal.json"));
        Options {
            rules: self.rules.rules(),
            generate: self.generate,
            seed: self.seed,
            streams_per_vm: self.streams_per_vm,
            threads: self.jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from),
            minimal: self.minimal.clone().or(default),
        }
    }
}
