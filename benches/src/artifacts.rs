//! Both builds of the measured plugins.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use dynvm_build::{Artifact, BuildError, BuildOptions, Progress, Source};

/// The builds of one plugin.
pub struct Artifacts {
    /// The shared object.
    pub native: PathBuf,
    /// The wasm module.
    pub wasm: PathBuf,
}

impl Artifacts {
    /// The example `bench-suite`: the workloads, on the Rust SDK.
    ///
    /// # Errors
    ///
    /// It cannot be built.
    pub fn suite() -> anyhow::Result<Artifacts> {
        build("../examples/plugins/bench-suite")
    }

    /// Another example plugin, of ordinary size.
    ///
    /// # Errors
    ///
    /// It cannot be built.
    pub fn header_rewrite() -> anyhow::Result<Artifacts> {
        build("../examples/plugins/header-rewrite")
    }

    /// A plugin in C that only calls the host.
    ///
    /// # Errors
    ///
    /// It cannot be built.
    pub fn calls() -> anyhow::Result<Artifacts> {
        build("plugins/calls")
    }
}

/// Builds with the library behind `dynvm build`: running the tool by cargo would select another set of features, and compile wasmtime again.
fn build(dir: &str) -> anyhow::Result<Artifacts> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir).canonicalize()?;
    let built = dynvm_build::build(&Source::find(&dir)?, &BuildOptions::default(), &Steps);
    let path = |artifact: Option<Result<Artifact, BuildError>>| -> anyhow::Result<PathBuf> {
        Ok(artifact.context("both artifacts were asked for")??.path)
    };
    Ok(Artifacts { native: path(built.native)?, wasm: path(built.wasm)? })
}

/// Says on standard error what is being built; the tables go to standard output.
struct Steps;

impl Progress for Steps {
    fn step(&self, what: &str) {
        eprintln!("{what}");
    }
}
