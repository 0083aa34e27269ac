//! What to build and where.

use std::path::PathBuf;

use crate::WasmTarget;

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
    /// Whether tools may print colours in what [`Progress::line`](crate::Progress::line) and errors hand on.
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
