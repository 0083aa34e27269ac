//! `dynvm envoy`: plugins in a stock Envoy.

mod convert;
pub mod trial;

use std::process::ExitCode;

/// Work with Envoy's configuration.
#[derive(clap::Args)]
pub struct EnvoyArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    Convert(convert::ConvertArgs),
}

pub fn execute(args: &EnvoyArgs) -> anyhow::Result<ExitCode> {
    match &args.verb {
        Verb::Convert(args) => convert::execute(args),
    }
}
