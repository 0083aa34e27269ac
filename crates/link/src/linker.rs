//! The linker: joins objects to one.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// An LLD.
pub struct Linker {
    path: PathBuf,
}

impl Linker {
    /// Finds the one that `DYNVM_LLD` names, that rustc brings, or that is installed.
    pub fn find() -> Result<Linker> {
        if let Some(path) = env::var_os("DYNVM_LLD") {
            return Ok(Linker { path: path.into() });
        }
        let installed =
            ["ld.lld".to_owned()].into_iter().chain((19..40).rev().map(|version| format!("ld.lld-{version}")));
        let path = of_rustc().or_else(|| installed.into_iter().map(PathBuf::from).find(|path| runs(path)));
        let path = path.context(
            "no LLD is here, which joins plugins: rustc from https://rustup.rs brings it; for another rustc install lld of \
             version 19 or newer, or set DYNVM_LLD to one",
        )?;
        Ok(Linker { path })
    }

    /// Joins objects and what is used of static libraries to one relocatable object.
    ///
    /// Nothing is removed here as unused: in this mode LLD would remove unwind tables as well. The program's linker does it.
    pub fn join(
        &self,
        inputs: &[PathBuf],
        script: &Path,
        roots: &[String],
        debug_info: bool,
        output: &Path,
    ) -> Result<()> {
        let mut command = Command::new(&self.path);
        // Groups would be compared between plugins, by names that are local.
        command.args(["-flavor", "gnu", "-r", "--force-group-allocation"]);
        if !debug_info {
            command.arg("--strip-debug");
        }
        command.arg("-T").arg(script).arg("-o").arg(output);
        command.args(roots.iter().map(|root| format!("--undefined={root}")));
        command.args(inputs);
        let outcome = command.output().with_context(|| format!("{} cannot be run", self.path.display()))?;
        if !outcome.status.success() {
            bail!(
                "{} did not join the plugin's objects ({}):\n{}",
                self.path.display(),
                outcome.status,
                String::from_utf8_lossy(&outcome.stderr).trim_end()
            );
        }
        Ok(())
    }
}

/// Standard output of rustc.
pub fn ask_rustc(args: &[&str]) -> Option<String> {
    let rustc = env::var_os("RUSTC").unwrap_or("rustc".into());
    let output = Command::new(rustc).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The directory of rustc's files for a target.
pub fn target_dir(triple: &str) -> Option<PathBuf> {
    Some(Path::new(&ask_rustc(&["--print", "sysroot"])?).join("lib/rustlib").join(triple))
}

/// The triple of the machine that rustc runs on.
pub fn host() -> Option<String> {
    let version = ask_rustc(&["-vV"])?;
    version.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned)
}

fn of_rustc() -> Option<PathBuf> {
    let path = target_dir(&host()?)?.join("bin/rust-lld");
    path.is_file().then_some(path)
}

fn runs(path: &Path) -> bool {
    Command::new(path).arg("--version").output().is_ok_and(|output| output.status.success())
}
