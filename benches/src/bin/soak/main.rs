//! Runs the loader for a long time, and fails if a stream is lost or a resource grows. Not part of the tests: it takes
//! minutes.
//!
//! ```text
//! ./dev soak reload --reloads 1000 --threads 8
//! ./dev soak crash --crashes 10000 --threads 8
//! ./dev soak start --starts 100000 --threads 8
//! ./dev soak envoy --envoy ENVOY --module target/release/libdynvm_envoy.so
//! ```

#![forbid(unsafe_code)]

mod crash;
mod envoy;
mod plugin;
mod reload;
mod start;
mod usage;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs the loader for a long time, and fails if a stream is lost or a resource grows.
#[derive(Parser)]
#[command(
    after_help = "Exit codes: 0 nothing was lost and nothing grew, 1 something was or did, or could not be run, 2 wrong usage."
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Crash(crash::CrashArgs),
    Envoy(envoy::EnvoyArgs),
    Reload(reload::ReloadArgs),
    Start(start::StartArgs),
}

fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Crash(args) => crash::run(&args),
        Verb::Envoy(args) => envoy::run(&args),
        Verb::Reload(args) => reload::run(&args),
        Verb::Start(args) => start::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
