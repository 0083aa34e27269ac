//! Both builds of the measured plugins.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

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

/// Builds with this repository's own tool.
fn build(dir: &str) -> anyhow::Result<Artifacts> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = root.join(dir).canonicalize()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["run", "--quiet", "--release", "-p", "dynvm-cli", "--", "build", "--format", "json"])
        .arg(&dir)
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo cannot be run")?;
    ensure!(output.status.success(), "{} was not built", dir.display());
    let built: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let path = |kind: &str| {
        let path = built["plugins"][0][kind]["path"].as_str();
        path.map(PathBuf::from).with_context(|| format!("no {kind} artifact in {built}"))
    };
    Ok(Artifacts { native: path("native")?, wasm: path("wasm")? })
}
