//! Tells the tool what it is built with, for the environment in its reports.

use std::path::Path;
use std::process::Command;

fn main() {
    // In the workspace the lock file is beside the members; in a packaged crate, in it.
    let locks = ["../Cargo.lock", "Cargo.lock"].map(Path::new);
    let lock = locks.into_iter().find(|path| path.is_file());
    if let Some(path) = lock {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let text = lock.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    println!("cargo::rustc-env=DYNVM_WASMTIME_VERSION={}", version(&text, "wasmtime").unwrap_or("unknown"));

    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().ok();
    let version = output.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    println!("cargo::rustc-env=DYNVM_RUSTC_VERSION={}", version.trim().trim_start_matches("rustc "));
    println!("cargo::rerun-if-changed=build.rs");
}

/// The version of a package in a lock file.
fn version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"");
    let after = lock.split("[[package]]").find(|entry| entry.lines().any(|line| line == name))?;
    after.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
}
