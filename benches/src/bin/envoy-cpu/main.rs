//! CPU time per request in a real Envoy: plugins in its own wasm filter, natively and as wasm in the module, and no plugin.
//!
//! One Envoy with one worker has a listener for each; rounds of requests alternate over the listeners, in turned order every
//! second round. The cost is the worker thread's time on a CPU. What a plugin adds is compared with no plugin in the same
//! round, so that what else the machine does meets both.
//!
//! ```text
//! dynvm build examples/plugins/header-rewrite --out-dir plugins
//! dynvm build examples/plugins/body-transform --out-dir plugins
//! cargo run --release -p dynvm-benches --bin envoy-cpu -- --envoy ENVOY --module target/release/libdynvm_envoy.so --plugins plugins
//! ```

mod client;
mod config;
mod process;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

use client::Client;
use config::{By, Case};
use process::Envoy;

#[derive(Parser)]
struct Options {
    /// A stock Envoy with V8 and dynamic modules.
    #[arg(long)]
    envoy: PathBuf,
    /// The module.
    #[arg(long)]
    module: PathBuf,
    /// The directory with header-rewrite and body-transform, each as .so and .wasm.
    #[arg(long)]
    plugins: PathBuf,
    /// Rounds.
    #[arg(long, default_value_t = 24)]
    rounds: usize,
    /// Requests to a listener in a round.
    #[arg(long, default_value_t = 2000)]
    requests: u32,
}

/// CPU time per request, in microseconds: by case, by backend, by round.
type Times = Vec<Vec<Vec<f64>>>;

fn main() -> Result<()> {
    let options = Options::parse();
    let envoy = Envoy::start(&options.envoy, &config::config(&options.module, &options.plugins)?)?;
    let mut times: Times = vec![vec![Vec::new(); By::ALL.len()]; Case::ALL.len()];
    // The first round warms up.
    for round in 0..=options.rounds {
        let mut order: Vec<(usize, usize)> =
            (0..Case::ALL.len()).flat_map(|case| (0..By::ALL.len()).map(move |by| (case, by))).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for (case, by) in order {
            let mut client = Client::connect(envoy.port(Case::ALL[case], By::ALL[by])?)?;
            let before = envoy.worker_ns()?;
            client.send(Case::ALL[case].request(), options.requests)?;
            let spent = envoy.worker_ns()? - before;
            if round > 0 {
                times[case][by].push(spent as f64 / 1000.0 / f64::from(options.requests));
            }
        }
        eprint!("\rround {round} of {}", options.rounds);
    }
    eprintln!();
    print(&times);
    Ok(())
}

/// Median and quartiles.
fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}

fn print(times: &Times) {
    println!("| case | no plugin, µs | V8 adds | native adds | wasm in the module adds | V8 / native | V8 / wasm |");
    println!("|---|---|---|---|---|---|---|");
    for (case, by_backend) in Case::ALL.iter().zip(times) {
        let none = &by_backend[0];
        let added: Vec<[f64; 3]> = by_backend[1..]
            .iter()
            .map(|with| quartiles(with.iter().zip(none).map(|(with, without)| with - without).collect()))
            .collect();
        let cell = |[low, middle, high]: [f64; 3]| format!("{middle:.1} ({low:.1}..{high:.1})");
        let [v8, native, wasm] = [added[0], added[1], added[2]];
        println!(
            "| {} | {:.1} | {} | {} | {} | {:.1} | {:.1} |",
            case.name(),
            quartiles(none.clone())[1],
            cell(v8),
            cell(native),
            cell(wasm),
            v8[1] / native[1],
            v8[1] / wasm[1],
        );
    }
}
