//! Plugins that name their version: `tests/plugins/version.c`, compiled natively and to wasm.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;

/// The target of a compilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// A shared object.
    Native,
    /// A WebAssembly module.
    Wasm,
}

/// Compiles a version into a directory.
///
/// # Errors
///
/// The compiler is missing or fails.
pub fn compile(backend: Backend, version: &str, dir: &Path) -> Result<PathBuf> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/plugins/version.c");
    let target = dir.join(format!("version-{version}"));
    let compiler = |variable: &str, otherwise: &str| std::env::var(variable).unwrap_or_else(|_| otherwise.to_owned());
    let mut command = match backend {
        Backend::Native => {
            let mut command = Command::new(compiler("CC", "cc"));
            command.args(["-shared", "-fPIC"]);
            command
        }
        Backend::Wasm => {
            let mut command = Command::new(compiler("DYNVM_WASM_CC", "clang-19"));
            command.args(["--target=wasm32", "-nostdlib", "-Wl,--no-entry"]);
            command
        }
    };
    command.args(["-O1", "-I", dynvm::abi::INCLUDE_DIR]).arg(format!("-DVERSION=\"{version}\""));
    command.arg(source).arg("-o").arg(&target);
    let output = command.output().with_context(|| {
        format!(
            "{command:?} cannot be run: install a C compiler, for wasm clang-19 and lld-19, or set CC and DYNVM_WASM_CC"
        )
    })?;
    ensure!(output.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(target)
}
