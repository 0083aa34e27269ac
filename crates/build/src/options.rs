//! Build options.

use std::path::PathBuf;

use crate::WasmTarget;

/// Build options.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// Whether to build the native shared object.
    pub native: bool,
    /// Whether to build the wasm module.
    pub wasm: bool,
    /// The wasm target; `None` selects the best available one.
    pub target: Option<WasmTarget>,
    /// Directory to copy the artifacts to, as `<name>.so` and `<name>.wasm`.
    pub out_dir: Option<PathBuf>,
    /// Directory for intermediate files; `None`: the plugin's own target directory.
    pub target_dir: Option<PathBuf>,
    /// Whether to build without optimization.
    pub debug: bool,
    /// Features of the Cargo package to activate.
    pub features: Vec<String>,
    /// Additional include directories for C and C++.
    pub include: Vec<PathBuf>,
    /// Whether tools may use colors in the output passed to [`Progress::line`](crate::Progress::line) and in errors.
    pub colour: bool,
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
            colour: false,
        }
    }
}
