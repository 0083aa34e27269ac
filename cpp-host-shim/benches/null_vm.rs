//! Calls and streams through proxy-wasm-cpp-host: native plugins in the shim against its NullVM, where the same plugin is linked into the host.
//!
//! `cargo bench -p dynvm-cpp-host-shim`, with `DYNVM_CPP_HOST_INCLUDE` and `DYNVM_CPP_HOST_LIB` as `tests/build`
//! explains them; without them it says so and measures nothing. The output has minimum and median, and the ratio of
//! medians to NullVM's: of nanoseconds, or, with `--instructions` and valgrind, of instructions.

use std::path::Path;

use build::Host;
use clap::{Parser, ValueEnum};
use measured::Measured;

#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/build/mod.rs"]
mod build;
#[path = "../tests/measured/mod.rs"]
mod measured;

#[derive(Parser)]
#[command(about = "Native plugins in proxy-wasm-cpp-host against its NullVM, in nanoseconds")]
struct Arguments {
    /// The output format.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Measurements of each case and engine.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Count instructions instead, with valgrind.
    #[arg(long)]
    instructions: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
}

fn main() {
    let arguments = Arguments::parse();
    let Some(host) = Host::given() else {
        eprintln!(
            "DYNVM_CPP_HOST_INCLUDE and DYNVM_CPP_HOST_LIB name no proxy-wasm-cpp-host: there is nothing to measure"
        );
        return;
    };
    let Some(sdk) = host.sdk().map(Path::to_owned) else {
        eprintln!(
            "DYNVM_CPP_HOST_INCLUDE has no directory with proxy_wasm_intrinsics.cc, the C++ SDK: there is no plugin to measure"
        );
        return;
    };
    let measured = Measured::build(host, &sdk);
    let (unit, results) = match arguments.instructions {
        true => ("instructions", measured.instructions()),
        false => ("nanoseconds", measured.nanoseconds(arguments.rounds)),
    };
    match arguments.format {
        Format::Table => print!("{}", results.table(unit)),
        Format::Json => println!("{:#}", results.json(unit)),
    }
}
