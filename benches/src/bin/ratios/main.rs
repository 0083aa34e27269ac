//! The tables of `docs/performance.md`: all subjects in one run, interleaved, so that their ratios hold on a machine that is not quiet.

mod calls;
mod instructions;
mod memory;
mod peer;
mod recovery;
mod rollout;
mod start;
mod streams;
mod table;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use dynvm_benches::artifacts::Artifacts;

/// Measures native plugins against wasm ones and against peers, and prints tables in Markdown.
///
/// All subjects of a table take turns, a fraction of a millisecond each, for the given number of rounds. A cell has the
/// median of the rounds and, in brackets, the fastest; ratios are of medians.
#[derive(Parser)]
struct Args {
    /// Tables to print [default: all but `instructions`, which takes minutes and needs valgrind]
    #[arg(value_enum)]
    tables: Vec<Table>,
    /// Rounds; more of them make the medians steadier.
    #[arg(long, default_value_t = 200)]
    rounds: usize,
    /// The built program of `peers/proxy-wasm-host`, to measure that crate too.
    #[arg(long, value_name = "PROGRAM")]
    peer: Option<PathBuf>,
    /// For `instructions`, which counts the instructions of a run of this program: WORKLOAD, SUBJECT and COUNT of
    /// streams.
    #[arg(long, hide = true, num_args = 3)]
    only: Option<Vec<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Table {
    /// An empty callback, and hostcalls.
    Calls,
    /// Whole streams, by workload.
    Streams,
    /// Whole streams, as bodies grow.
    Growth,
    /// From an artifact to a VM.
    Start,
    /// Memory of one more VM.
    Memory,
    /// A crash, and a reload.
    Recovery,
    /// Whole streams, some of them shadowed.
    Rollout,
    /// Whole streams, in instructions instead of time.
    Instructions,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let suite = Artifacts::suite()?;
    if let Some(only) = &args.only {
        return instructions::run_only(&suite, only);
    }
    let tables = match &args.tables[..] {
        [] => vec![
            Table::Calls,
            Table::Streams,
            Table::Growth,
            Table::Start,
            Table::Memory,
            Table::Recovery,
            Table::Rollout,
        ],
        named => named.to_vec(),
    };
    for table in tables {
        match table {
            Table::Calls => calls::measure(args.rounds)?,
            Table::Streams => streams::measure(&suite, &dynvm_benches::WORKLOADS, args.rounds, args.peer.as_deref())?,
            Table::Growth => streams::measure(&suite, &dynvm_benches::BODIES, args.rounds / 4, args.peer.as_deref())?,
            Table::Start => start::measure(&suite, args.rounds)?,
            Table::Memory => memory::measure(&suite)?,
            Table::Recovery => recovery::measure(args.rounds)?,
            Table::Rollout => rollout::measure(&suite, args.rounds)?,
            Table::Instructions => instructions::measure()?,
        }
        println!();
    }
    Ok(())
}
