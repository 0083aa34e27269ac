//! CPU time per request in a real Envoy: plugins in its own wasm filter, natively and as wasm in the module, what does the
//! same without a plugin, and no filter.
//!
//! One Envoy with one worker has a listener for each; rounds of requests alternate over the listeners, in turned order every
//! second round. The cost is the worker thread's time on a CPU. What a filter adds is compared with no filter in the same
//! round, so that what else the machine does meets both.
//!
//! ```text
//! for plugin in header-rewrite body-transform bench-suite; do dynvm build examples/plugins/$plugin --out-dir plugins; done
//! cargo run --release -p dynvm-benches --bin envoy-cpu -- --envoy ENVOY --module target/release/libdynvm_envoy.so --plugins plugins
//! ```

#![forbid(unsafe_code)]

mod cases;
mod many;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use dynvm_benches::envoy::{Client, Envoy};

use cases::{By, Case, Files, listener_name};

/// CPU time per request in a real Envoy, with plugins and without.
#[derive(Parser)]
struct Options {
    /// A stock Envoy with V8 and dynamic modules.
    #[arg(long)]
    envoy: PathBuf,
    /// The module.
    #[arg(long)]
    module: PathBuf,
    /// The directory with header-rewrite, body-transform and bench-suite, each as .so and .wasm.
    #[arg(long)]
    plugins: PathBuf,
    /// Rounds.
    #[arg(long, default_value_t = 24)]
    rounds: usize,
    /// Requests to a listener in a round.
    #[arg(long, default_value_t = 2000)]
    requests: usize,
    /// Only these cases [default: all].
    #[arg(long = "case", value_enum, value_delimiter = ',')]
    cases: Vec<Case>,
    /// Instead, start an Envoy with this number of different plugins, and report when it is ready and its memory.
    #[arg(long, value_parser = clap::value_parser!(u8))]
    many: Option<u8>,
}

/// Connections that are used at once.
const CONNECTIONS: usize = 8;

fn main() -> Result<()> {
    let options = Options::parse();
    let dir = tempfile::tempdir()?;
    let files = Files::new(&options.module, &options.plugins, &compile_hand(dir.path())?)?;
    if let Some(count) = options.many {
        return many::run(&options.envoy, &files, count.into());
    }
    let cases = if options.cases.is_empty() { Case::ALL.to_vec() } else { options.cases };
    let (config, subjects) = cases::config(&cases, &files);
    let envoy = Envoy::start(&options.envoy, &config, 1)?;
    // Microseconds per request, by subject and round.
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); subjects.len()];
    // The first round warms up.
    for round in 0..=options.rounds {
        let mut order: Vec<usize> = (0..subjects.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for subject in order {
            let (case, by) = subjects[subject];
            let mut client = Client::connect(envoy.port(&listener_name(case, by))?, CONNECTIONS)?;
            let before = envoy.worker_ns()?;
            client.send(&case.request(), options.requests)?;
            let spent = envoy.worker_ns()? - before;
            if round > 0 {
                times[subject].push(spent as f64 / 1000.0 / options.requests as f64);
            }
        }
        eprint!("\rround {round} of {}", options.rounds);
    }
    eprintln!();
    for case in cases {
        let of_case = subjects.iter().zip(&times).filter(|((of, _), _)| *of == case);
        print(case, &of_case.map(|((_, by), times)| (*by, times.as_slice())).collect::<Vec<_>>());
    }
    Ok(())
}

/// The filters by hand.
fn compile_hand(dir: &Path) -> Result<PathBuf> {
    let target = dir.join("libhand.so");
    let mut command = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".to_owned()));
    command.args(["-shared", "-fPIC", "-O2", concat!(env!("CARGO_MANIFEST_DIR"), "/peers/envoy-filter.c"), "-o"]);
    let status = command.arg(&target).status().context("cc cannot be run: install a C compiler")?;
    ensure!(status.success(), "{command:?} failed");
    Ok(target)
}

/// Median and quartiles.
fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}

fn print(case: Case, times: &[(By, &[f64])]) {
    let none = times[0].1;
    let base = quartiles(none.to_vec())[1];
    let added = |of: &[f64]| quartiles(of.iter().zip(none).map(|(with, without)| with - without).collect());
    let v8 = times.iter().find(|(by, _)| *by == By::V8).map(|(_, times)| added(times)[1]);
    println!("\n| {} | adds, µs | of no filter | of what V8 adds |", case.name());
    println!("|---|---|---|---|");
    println!("| no filter | {base:.1} in all | 1 | |");
    for (by, times) in &times[1..] {
        let [low, middle, high] = added(times);
        let (of_none, of_v8) = (1.0 + middle / base, v8.map_or(String::new(), |v8| format!("{:.2}", middle / v8)));
        println!("| {} | {middle:.1} ({low:.1}..{high:.1}) | {of_none:.2} | {of_v8} |", by.name());
    }
}
