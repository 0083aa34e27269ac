//! `dynvm build`: arguments and output; the crate `dynvm-build` does the work.
//!
//! Other subcommands that accept a source directory call [`build_plugin`].

mod linked;
mod progress;
mod report;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use dynvm_build::{Artifact, BuildError, Source, WasmTarget, build};

use progress::Shown;

pub use dynvm_build::BuildOptions;

/// Arguments of `dynvm build`.
#[derive(Args, Clone, Debug)]
#[command(
    about = "Build plugins: a native shared object and a wasm module from one source",
    long_about = "Build plugins: a native shared object and a wasm module from one source.\n\n\
        A plugin is a Cargo package with `crate-type = [\"cdylib\"]`, or a directory with C or C++ \
        sources (or a single source file). It needs no change: no feature, no extra crate, no \
        build script.\n\n\
        The wasm build uses the installed Rust target. If there is none, rustup adds it; if rustup \
        cannot, the standard library is compiled once from installed sources (rust-src of rustup, \
        or rust-web-src of Debian) into the user's cache directory \
        ($XDG_CACHE_HOME/dynvm or ~/.cache/dynvm).",
    after_help = "Examples:\n  \
        dynvm build .                                  both artifacts, optimized\n  \
        dynvm build plugins/* --out-dir dist           dist/<name>.so and dist/<name>.wasm for each\n  \
        dynvm build . --wasm-only --target wasm32-unknown-unknown\n  \
        dynvm build hello.c                            C: natively by cc, wasm by clang\n  \
        dynvm build . --static --out-dir dist          a static library, to be part of a program\n  \
        dynvm build . --format json | jq -r '.plugins[].wasm.path'\n\n\
        Exit codes: 0 all plugins are built, 2 an argument names no plugin, 3 a build failed.\n\n\
        Environment: CC, CXX, CFLAGS, CXXFLAGS, LDFLAGS (native C and C++), DYNVM_WASM_CC (the clang \
        for wasm), WASI_SDK_PATH, DYNVM_LLD (the linker of --static). RUSTFLAGS apply to native builds only; for wasm set \
        CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS."
)]
pub struct BuildArgs {
    /// Directory of a plugin, or a C or C++ source file
    #[arg(required = true, value_name = "DIR")]
    pub dirs: Vec<PathBuf>,

    /// Build for this wasm target [default: wasm32-wasip1, else wasm32-unknown-unknown]
    #[arg(long, value_enum, conflicts_with = "native_only")]
    pub target: Option<Target>,

    /// Build the native shared object only
    #[arg(long, conflicts_with = "wasm_only")]
    pub native_only: bool,

    /// Build the wasm module only
    #[arg(long)]
    pub wasm_only: bool,

    /// Build a static library instead, to be part of a program; beside it a header and a Rust source
    /// file that describe the plugin to the program
    #[arg(long = "static", requires = "out_dir", conflicts_with_all = ["native_only", "wasm_only", "target", "verbose"])]
    pub is_static: bool,

    /// Link N copies of the plugin, so that N VMs can run at a time although it keeps state in
    /// statics [default: 1 for C, C++, and Rust with statics of its own]
    #[arg(long, value_name = "N", requires = "is_static", conflicts_with = "share_statics")]
    pub slots: Option<usize>,

    /// Let any number of VMs run, which share the plugin's statics
    #[arg(long, requires = "is_static")]
    pub share_statics: bool,

    /// Copy the artifacts to this directory, as NAME.so and NAME.wasm; with --static as
    /// libdvn_NAME.a, NAME.h and NAME.rs
    #[arg(long, value_name = "DIR")]
    pub out_dir: Option<PathBuf>,

    /// Directory for intermediate files [default: the plugin's own target directory]
    #[arg(long, value_name = "DIR")]
    pub target_dir: Option<PathBuf>,

    /// Build without optimization
    #[arg(long)]
    pub debug: bool,

    /// Features of the Cargo package to activate, separated by commas
    #[arg(long, value_name = "FEATURES", value_delimiter = ',')]
    pub features: Vec<String>,

    /// Additional include directory for C and C++
    #[arg(short = 'I', long = "include", value_name = "DIR")]
    pub include: Vec<PathBuf>,

    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,

    /// Show the commands and their whole output
    #[arg(short, long)]
    pub verbose: bool,
}

/// A wasm target of rustc.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// With WASI: the standard library can read the clock, random bytes and the environment
    #[value(name = "wasm32-wasip1")]
    Wasip1,
    /// Without any system interface
    #[value(name = "wasm32-unknown-unknown")]
    Unknown,
}

impl From<Target> for WasmTarget {
    fn from(target: Target) -> Self {
        match target {
            Target::Wasip1 => WasmTarget::Wasip1,
            Target::Unknown => WasmTarget::Unknown,
        }
    }
}

/// Output format of `dynvm build`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Human-readable
    #[default]
    Text,
    /// One JSON object
    Json,
}

impl From<&BuildArgs> for BuildOptions {
    fn from(args: &BuildArgs) -> Self {
        Self {
            native: !args.wasm_only,
            wasm: !args.native_only,
            target: args.target.map(WasmTarget::from),
            out_dir: args.out_dir.clone(),
            target_dir: args.target_dir.clone(),
            debug: args.debug,
            features: args.features.clone(),
            include: args.include.clone(),
            colour: colour(),
        }
    }
}

/// A built plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The native shared object, if requested.
    pub native: Option<PathBuf>,
    /// The wasm module, if requested.
    pub wasm: Option<PathBuf>,
}

/// Builds the plugin in `dir`. The requested artifacts exist on success.
pub fn build_plugin(dir: &Path, options: &BuildOptions) -> Result<Built> {
    let options = BuildOptions { colour: colour(), ..options.clone() };
    let parts = build(&Source::find(dir)?, &options, &Shown::new(false));
    let path = |part: Option<Result<Artifact, BuildError>>| part.map(|part| part.map(|made| made.path)).transpose();
    Ok(Built { native: path(parts.native)?, wasm: path(parts.wasm)? })
}

/// Runs `dynvm build`: the result goes to standard output, progress and errors to standard error.
pub fn execute(args: &BuildArgs) -> Result<ExitCode> {
    // Checks all arguments first: a typo in the last one should not cost the earlier builds.
    let found: Vec<_> = args.dirs.iter().map(|dir| Source::find(dir)).collect();
    let mut sources = Vec::new();
    let mut mistaken = false;
    for source in found {
        match source {
            Ok(source) => sources.push(source),
            Err(error) => {
                mistaken = true;
                report::error(&error);
            }
        }
    }
    if mistaken {
        return Ok(ExitCode::from(crate::exit::USAGE));
    }
    let exit_code = |failed| if failed { ExitCode::from(crate::exit::LOAD_FAILURE) } else { ExitCode::SUCCESS };
    if let (true, Some(out_dir)) = (args.is_static, &args.out_dir) {
        return Ok(exit_code(!linked::execute(args, &sources, out_dir)?));
    }
    let options = BuildOptions::from(args);
    let parts: Vec<_> = sources.iter().map(|source| build(source, &options, &Shown::new(args.verbose))).collect();
    let mut out = anstream::stdout().lock();
    match args.format {
        Format::Text => report::text(&parts, &mut out)?,
        Format::Json => report::json(&parts, &mut out)?,
    }
    let failed = parts.iter().any(dynvm_build::Built::failed);
    Ok(exit_code(failed))
}

/// Whether tools may use colors: their output goes to our standard error.
fn colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
}
