//! `dynvm build`: from one source, untouched, to the native plugin and the wasm module.
//!
//! | file | idea |
//! |---|---|
//! | [`source`] | what a directory holds: a Cargo package with a cdylib, or C and C++ |
//! | [`facts`] | what is installed: toolchains, targets, linkers |
//! | [`toolchain`] | which of it builds wasm, or what is missing: pure functions over the facts |
//! | [`sysroot`] | the standard library for wasm, compiled once where no target is installed |
//! | [`cargo`] | running cargo and finding what it made |
//! | [`cc`] | C and C++ |
//! | [`process`] | running a tool, with progress |
//! | [`report`] | what is printed in the end |
//!
//! Other verbs that take a source directory call [`build_plugin`].

mod cargo;
mod cc;
mod facts;
mod process;
mod report;
mod source;
mod sysroot;
mod toolchain;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use process::Progress;
use source::Source;

pub use toolchain::WasmTarget;

/// Arguments of `dynvm build`.
#[derive(Args, Clone, Debug)]
#[command(
    about = "Build plugins: a native shared object and a wasm module from one source",
    long_about = "Build plugins: a native shared object and a wasm module from one source.\n\n\
        A plugin is a Cargo package with `crate-type = [\"cdylib\"]`, or a directory with C or C++ \
        sources (a single source file will do). It needs no change for this: no feature, no extra \
        crate, no build script.\n\n\
        For wasm the installed Rust target is used; where there is none, rustup is asked to add it; \
        where that fails, the standard library is compiled from an installed source (rust-src of \
        rustup, or rust-web-src of Debian), once, into the user's cache directory \
        ($XDG_CACHE_HOME/dynvm or ~/.cache/dynvm).",
    after_help = "Examples:\n  \
        dynvm build .                                  both artifacts, release profile\n  \
        dynvm build plugins/* --out-dir dist           dist/<name>.so and dist/<name>.wasm of each\n  \
        dynvm build . --wasm-only --target wasm32-unknown-unknown\n  \
        dynvm build hello.c                            C: natively by cc, wasm by clang\n  \
        dynvm build . --format json | jq -r '.plugins[].wasm.path'\n\n\
        Exit codes: 0 all built, 2 the arguments name no plugin, 3 a build failed.\n\n\
        Environment: CC, CXX, CFLAGS, CXXFLAGS, LDFLAGS (native C and C++), DYNVM_WASM_CC (the clang \
        for wasm), WASI_SDK_PATH. RUSTFLAGS are used natively and not for wasm; for wasm set \
        CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS."
)]
pub struct BuildArgs {
    /// Directory of a plugin, or a C or C++ source file
    #[arg(required = true, value_name = "DIR")]
    pub dirs: Vec<PathBuf>,

    /// Build for this wasm target [default: wasm32-wasip1, else wasm32-unknown-unknown]
    #[arg(long, value_enum, conflicts_with = "native_only")]
    pub target: Option<WasmTarget>,

    /// Build the native shared object only
    #[arg(long, conflicts_with = "wasm_only")]
    pub native_only: bool,

    /// Build the wasm module only
    #[arg(long)]
    pub wasm_only: bool,

    /// Copy the artifacts to this directory, as <name>.so and <name>.wasm
    #[arg(long, value_name = "DIR")]
    pub out_dir: Option<PathBuf>,

    /// Directory for intermediate files [default: the plugin's own target directory]
    #[arg(long, value_name = "DIR")]
    pub target_dir: Option<PathBuf>,

    /// Build without optimisation
    #[arg(long)]
    pub debug: bool,

    /// Features of the Cargo package to activate, separated by commas
    #[arg(long, value_name = "FEATURES", value_delimiter = ',')]
    pub features: Vec<String>,

    /// Directory of headers for C and C++, besides that of dynvm/dynvm.h
    #[arg(short = 'I', long = "include", value_name = "DIR")]
    pub include: Vec<PathBuf>,

    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,

    /// Show the commands and all that they print
    #[arg(short, long)]
    pub verbose: bool,
}

/// How the result of `dynvm build` is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON object
    Json,
}

/// What to build and where.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// Whether to build the native shared object.
    pub native: bool,
    /// Whether to build the wasm module.
    pub wasm: bool,
    /// The wasm target; none: the best that there is.
    pub target: Option<WasmTarget>,
    /// Where to copy the artifacts, as `<name>.so` and `<name>.wasm`.
    pub out_dir: Option<PathBuf>,
    /// Where intermediate files go; none: the plugin's own target directory.
    pub target_dir: Option<PathBuf>,
    /// Whether to leave out optimisation.
    pub debug: bool,
    /// Features of the Cargo package.
    pub features: Vec<String>,
    /// Directories of headers for C and C++.
    pub include: Vec<PathBuf>,
    /// Whether to print the commands and what they print.
    pub verbose: bool,
    /// Whether to say nothing about progress.
    pub quiet: bool,
}

impl Default for BuildOptions {
    /// Both artifacts, release profile, in the plugin's own target directory.
    fn default() -> Self {
        Self {
            native: true,
            wasm: true,
            target: None,
            out_dir: None,
            target_dir: None,
            debug: false,
            features: Vec::new(),
            include: Vec::new(),
            verbose: false,
            quiet: false,
        }
    }
}

impl From<&BuildArgs> for BuildOptions {
    fn from(args: &BuildArgs) -> Self {
        Self {
            native: !args.wasm_only,
            wasm: !args.native_only,
            target: args.target,
            out_dir: args.out_dir.clone(),
            target_dir: args.target_dir.clone(),
            debug: args.debug,
            features: args.features.clone(),
            include: args.include.clone(),
            verbose: args.verbose,
            quiet: false,
        }
    }
}

/// A plugin that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The native shared object, if it was asked for.
    pub native: Option<PathBuf>,
    /// The wasm module, if it was asked for.
    pub wasm: Option<PathBuf>,
}

/// Builds the plugin in `dir`. What `options` ask for is there, or it is an error.
pub fn build_plugin(dir: &Path, options: &BuildOptions) -> Result<Built> {
    let parts = build_parts(&Source::find(dir)?, options);
    let path = |part: Option<Result<Artifact>>| part.map(|part| part.map(|made| made.path)).transpose();
    Ok(Built { native: path(parts.native)?, wasm: path(parts.wasm)? })
}

/// Runs `dynvm build`: the result goes to standard output, progress and errors to standard error.
pub fn execute(args: &BuildArgs) -> Result<ExitCode> {
    // All arguments are looked at first: a typo in the last one should not cost the builds before.
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
    let options = BuildOptions::from(args);
    let parts: Vec<Parts> = sources.iter().map(|source| build_parts(source, &options)).collect();
    let mut out = anstream::stdout().lock();
    match args.format {
        Format::Text => report::text(&parts, &mut out)?,
        Format::Json => report::json(&parts, &mut out)?,
    }
    let failed = parts.iter().any(Parts::failed);
    Ok(if failed { ExitCode::from(crate::exit::LOAD_FAILURE) } else { ExitCode::SUCCESS })
}

/// One artifact, and how it came about.
struct Artifact {
    path: PathBuf,
    /// What built it, for people: `cargo, wasm32-wasip1`.
    by: String,
}

/// The outcome for both artifacts; one may be there though the other failed.
struct Parts {
    name: String,
    dir: PathBuf,
    native: Option<Result<Artifact>>,
    wasm: Option<Result<Artifact>>,
}

impl Parts {
    fn failed(&self) -> bool {
        [&self.native, &self.wasm].into_iter().any(|part| matches!(part, Some(Err(_))))
    }
}

fn build_parts(source: &Source, options: &BuildOptions) -> Parts {
    let progress = Progress::new(options.quiet, options.verbose);
    let native = options.native.then(|| {
        progress.step(&format!("{}: native library", source.name()));
        let artifact = match source {
            Source::Cargo(package) => cargo::native(package, options, &progress),
            Source::Files(files) => cc::native(files, options, &progress),
        };
        copy_out(source, artifact?, std::env::consts::DLL_EXTENSION, options)
    });
    let wasm = options.wasm.then(|| {
        progress.step(&format!("{}: wasm module", source.name()));
        let artifact = match source {
            Source::Cargo(package) => cargo::wasm(package, options, &progress),
            Source::Files(files) => cc::wasm(files, options, &progress),
        };
        copy_out(source, artifact?, "wasm", options)
    });
    Parts { name: source.name().to_owned(), dir: source.dir().to_owned(), native, wasm }
}

/// Puts the artifact where the user wants it.
fn copy_out(source: &Source, artifact: Artifact, extension: &str, options: &BuildOptions) -> Result<Artifact> {
    let Some(out_dir) = &options.out_dir else { return Ok(artifact) };
    std::fs::create_dir_all(out_dir)
        .with_context(|| format!("the output directory {} cannot be made", out_dir.display()))?;
    let path = out_dir.join(format!("{}.{extension}", source.name()));
    // By way of a new file: a process that has the old one mapped keeps it unchanged.
    let new = out_dir.join(format!(".{}.{extension}.{}", source.name(), std::process::id()));
    std::fs::copy(&artifact.path, &new)
        .and_then(|_| std::fs::rename(&new, &path))
        .with_context(|| format!("{} cannot be copied to {}", artifact.path.display(), path.display()))?;
    Ok(Artifact { path, ..artifact })
}

/// Whether to let tools print colours: what they print ends up on our standard error.
fn colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
}
