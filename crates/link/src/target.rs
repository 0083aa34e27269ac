//! The platform that is linked for.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{LinkError, linker};

/// What a plugin is linked for, and where to.
#[derive(Clone, Debug)]
pub struct Target {
    /// The target triple of rustc.
    pub triple: String,
    /// The directory of the results, and of intermediate files.
    pub out_dir: PathBuf,
    /// Whether to keep debug information.
    pub debug_info: bool,
}

impl Target {
    /// The target of the program whose build script runs.
    pub(crate) fn of_build_script() -> Result<Target> {
        let variable = |name| {
            env::var(name).with_context(|| format!("{name} is not set: `emit` is for build scripts, which cargo runs"))
        };
        Ok(Target {
            triple: variable("TARGET")?,
            out_dir: variable("OUT_DIR")?.into(),
            debug_info: variable("DEBUG").is_ok_and(|value| value != "false"),
        })
    }

    /// The machine that this runs on, as rustc names it.
    ///
    /// # Errors
    ///
    /// There is no rustc.
    pub fn of_this_machine(out_dir: impl Into<PathBuf>) -> Result<Target, LinkError> {
        let triple = linker::host().context("rustc does not run: install Rust from https://rustup.rs, or set RUSTC")?;
        Ok(Target { triple, out_dir: out_dir.into(), debug_info: false })
    }

    pub(crate) fn is_musl(&self) -> bool {
        self.triple.contains("-musl")
    }

    pub(crate) fn architecture(&self) -> &str {
        self.triple.split('-').next().unwrap_or_default()
    }
}
