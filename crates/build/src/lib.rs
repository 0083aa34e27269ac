//! Builds the native plugin and the wasm module from one unmodified source, for `dynvm build` and the test host.
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
//! | `source` | finds the source in a directory: a Cargo package with a cdylib, or C and C++ |
//! | `facts` | probes installed toolchains, targets, linkers |
//! | `toolchain` | chooses the route to wasm, or reports what is missing: pure functions over the facts |
//! | `sysroot` | compiles the standard library for wasm once if no target is installed |
//! | `cargo` | runs cargo and finds its output |
//! | `cc` | builds C and C++ |
//! | `dependencies` | reads which files an object was built from |
//! | `process` | runs a tool, with progress |

#![forbid(unsafe_code)]

mod cargo;
mod cc;
mod dependencies;
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

/// A built artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Absolute path of the file.
    pub path: PathBuf,
    /// Tool and target for display, e.g. `cargo, wasm32-wasip1`.
    pub by: String,
}

/// Results for both artifacts; one may have succeeded although the other failed.
#[derive(Debug)]
pub struct Built {
    /// Name of the plugin.
    pub name: String,
    /// Directory of the plugin.
    pub dir: PathBuf,
    /// The native shared object, if requested.
    pub native: Option<Result<Artifact, BuildError>>,
    /// The wasm module, if requested.
    pub wasm: Option<Result<Artifact, BuildError>>,
}

impl Built {
    /// Whether a requested artifact is missing.
    pub fn failed(&self) -> bool {
        [&self.native, &self.wasm].into_iter().any(|part| matches!(part, Some(Err(_))))
    }
}

/// Builds a plugin and reports steps to `progress`. Blocks until the tools have finished; artifacts
/// that are up to date are not rebuilt.
pub fn build(source: &Source, options: &BuildOptions, progress: &dyn Progress) -> Built {
    let native = options.native.then(|| native(source, options, progress).map_err(BuildError::from));
    let wasm = options.wasm.then(|| wasm(source, options, progress).map_err(BuildError::from));
    Built { name: source.name().to_owned(), dir: source.dir().to_owned(), native, wasm }
}

/// What a plugin was compiled to, before any link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objects {
    /// One static library, or object files.
    pub files: Vec<PathBuf>,
    /// The files that they were built from, as far as the compilers say.
    pub sources: Vec<PathBuf>,
}

/// Builds what is needed to link a plugin into a program, for one target triple of rustc. C and C++ are compiled with `CC` and
/// `CXX`, which have to be compilers for that target.
///
/// # Errors
///
/// As for the other artifacts: the step, the tool's output and a remedy.
pub fn objects(
    source: &Source,
    triple: &str,
    options: &BuildOptions,
    progress: &dyn Progress,
) -> Result<Objects, BuildError> {
    progress.step(&format!("{}: objects", source.name()));
    let objects = match source {
        Source::Cargo(package) => cargo::objects(package, triple, options, progress),
        Source::Files(files) => cc::objects(files, options, progress),
    };
    Ok(objects?)
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

/// Copies the artifact to the output directory.
fn copy_out(source: &Source, artifact: Artifact, extension: &str, options: &BuildOptions) -> Result<Artifact> {
    let Some(out_dir) = &options.out_dir else { return Ok(artifact) };
    std::fs::create_dir_all(out_dir)
        .with_context(|| format!("the output directory {} cannot be created", out_dir.display()))?;
    let path = out_dir.join(format!("{}.{extension}", source.name()));
    // Write beside and rename: a process that has mapped the old file keeps it unchanged.
    let new = out_dir.join(format!(".{}.{extension}.{}", source.name(), std::process::id()));
    std::fs::copy(&artifact.path, &new)
        .and_then(|_| std::fs::rename(&new, &path))
        .with_context(|| format!("{} cannot be copied to {}", artifact.path.display(), path.display()))?;
    Ok(Artifact { path, ..artifact })
}
