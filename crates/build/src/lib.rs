//! From one source, untouched, to the native plugin and the wasm module: what `dynvm build` and the test host run.
//!
//! ```no_run
//! use dynvm_build::{BuildOptions, Quiet, Source, build};
//!
//! let source = Source::find("plugins/my-plugin".as_ref())?;
//! let built = build(&source, &BuildOptions::default(), &Quiet);
//! println!("{}", built.native.expect("it was asked for")?.path.display());
//! # Ok::<(), dynvm_build::BuildError>(())
//! ```
//!
//! | file | idea |
//! |---|---|
//! | `source` | what a directory holds: a Cargo package with a cdylib, or C and C++ |
//! | `facts` | what is installed: toolchains, targets, linkers |
//! | `toolchain` | which of it builds wasm, or what is missing: pure functions over the facts |
//! | `sysroot` | the standard library for wasm, compiled once where no target is installed |
//! | `cargo` | running cargo and finding what it made |
//! | `cc` | C and C++ |
//! | `process` | running a tool, with progress |

#![forbid(unsafe_code)]

mod cargo;
mod cc;
mod error;
mod facts;
mod hints;
mod options;
mod process;
mod progress;
mod source;
mod sysroot;
mod toolchain;

use std::path::PathBuf;

use anyhow::{Context, Result};

pub use error::BuildError;
pub use options::BuildOptions;
pub use progress::{Progress, Quiet};
pub use source::{Files, Package, Source};
pub use toolchain::WasmTarget;

/// One artifact, and how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The file, absolute.
    pub path: PathBuf,
    /// What built it, for people: `cargo, wasm32-wasip1`.
    pub by: String,
}

/// The outcome for both artifacts; one may be there though the other failed.
#[derive(Debug)]
pub struct Built {
    /// The plugin's name.
    pub name: String,
    /// Its directory.
    pub dir: PathBuf,
    /// The native shared object, if it was asked for.
    pub native: Option<Result<Artifact, BuildError>>,
    /// The wasm module, if it was asked for.
    pub wasm: Option<Result<Artifact, BuildError>>,
}

impl Built {
    /// Whether an artifact that was asked for is not there.
    pub fn failed(&self) -> bool {
        [&self.native, &self.wasm].into_iter().any(|part| matches!(part, Some(Err(_))))
    }
}

/// Builds a plugin as the options say, telling `progress` what goes on. Takes as long as compiling takes; what is up to date is not
/// compiled again.
pub fn build(source: &Source, options: &BuildOptions, progress: &dyn Progress) -> Built {
    let native = options.native.then(|| native(source, options, progress).map_err(BuildError::from));
    let wasm = options.wasm.then(|| wasm(source, options, progress).map_err(BuildError::from));
    Built { name: source.name().to_owned(), dir: source.dir().to_owned(), native, wasm }
}

fn native(source: &Source, options: &BuildOptions, progress: &dyn Progress) -> Result<Artifact> {
    progress.step(&format!("{}: native library", source.name()));
    let artifact = match source {
        Source::Cargo(package) => cargo::native(package, options, progress),
        Source::Files(files) => cc::native(files, options, progress),
    };
    copy_out(source, artifact?, std::env::consts::DLL_EXTENSION, options)
}

fn wasm(source: &Source, options: &BuildOptions, progress: &dyn Progress) -> Result<Artifact> {
    progress.step(&format!("{}: wasm module", source.name()));
    let artifact = match source {
        Source::Cargo(package) => cargo::wasm(package, options, progress),
        Source::Files(files) => cc::wasm(files, options, progress),
    };
    copy_out(source, artifact?, "wasm", options)
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
