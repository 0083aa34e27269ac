//! `dynvm`: builds, inspects, runs and compares Proxy-Wasm plugins, native and wasm.

#![forbid(unsafe_code)]

mod ab;
mod artifact;
mod build;
mod bundle;
mod envoy;
mod exit;
mod file;
mod inspect;
mod policy;
mod print;
mod progress;
mod rules;
mod run;
mod scenario;
mod start;
mod stats;
mod test;
mod units;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};

/// Build, inspect, run and compare Proxy-Wasm plugins, natively and as WebAssembly.
#[derive(Parser)]
#[command(name = "dynvm", version = version(), propagate_version = true, max_term_width = 100, after_help = "\
Examples:
  dynvm build my-plugin                     my-plugin.so and my-plugin.wasm from one crate
  dynvm inspect my-plugin.so                kind, ABI version, functions, and whether it loads
  dynvm verify --policy trust.toml *.so     check artifacts against a trust policy, rule by rule
  dynvm bundle p.wasm x86_64=p.so -o p.wasm one file with both builds
  dynvm run my-plugin --request 'GET /'     send one request through it
  dynvm ab my-plugin                        send the same traffic through both builds and compare
  dynvm test --proto tests.textpb --plugin my-plugin   run a suite of Google's wasm-tester
  dynvm envoy convert envoy.yaml --plugin auth=auth.so  wasm filters become DynVM's module

Exit codes: 0 success, 1 the two builds differ or a run failed, 2 wrong usage, 3 an artifact cannot be built or loaded.")]
struct Cli {
    /// When to use colors; `auto` respects NO_COLOR.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Color,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Copy, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Subcommand)]
enum Verb {
    Build(build::BuildArgs),
    Inspect(inspect::InspectArgs),
    Verify(verify::VerifyArgs),
    Bundle(bundle::BundleArgs),
    Run(run::RunArgs),
    Ab(Box<ab::AbArgs>),
    Test(test::TestArgs),
    Envoy(envoy::EnvoyArgs),
    /// Print shell completions.
    Completions {
        /// Shell to generate completions for.
        shell: clap_complete::Shell,
    },
}

/// The tool's version and the supported ABI versions.
fn version() -> &'static str {
    let abi: Vec<String> = dynvm_abi::version::AbiVersion::ALL.iter().map(ToString::to_string).collect();
    // Leaked once per run.
    format!("{} (Proxy-Wasm ABI {})", env!("CARGO_PKG_VERSION"), abi.join(", ")).leak()
}

/// Ends the process quietly when it writes to a closed pipe, e.g. of `head`. Rust ignores SIGPIPE,
/// and `println!` would panic.
fn end_with_a_closed_pipe() -> std::io::Result<()> {
    let always = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    signal_hook::flag::register_conditional_default(signal_hook::consts::SIGPIPE, always).map(|_| ())
}

fn main() -> ExitCode {
    // On failure, only the error message differs.
    let _ = end_with_a_closed_pipe();
    let cli = Cli::parse();
    match cli.color {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
    let done = match &cli.verb {
        Verb::Build(args) => build::execute(args),
        Verb::Inspect(args) => inspect::execute(args),
        Verb::Verify(args) => verify::execute(args),
        Verb::Bundle(args) => bundle::execute(args),
        Verb::Run(args) => run::execute(args),
        Verb::Ab(args) => ab::execute(args),
        Verb::Test(args) => test::execute(args),
        Verb::Envoy(args) => envoy::execute(args),
        Verb::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "dynvm", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    };
    done.unwrap_or_else(|error| exit::report(&error))
}
