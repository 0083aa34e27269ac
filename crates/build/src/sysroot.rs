//! Compiles the standard library for wasm from source if no target is installed.
//!
//! The result has the layout of a sysroot, so plugins are built as with an installed target: in
//! their own target directories, with any profile, and without recompiling the standard library. It
//! is stored in the user's cache in a directory per compiler, because another compiler cannot read
//! it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo;
use crate::process;
use crate::progress::Progress;
use crate::toolchain::{Route, WasmTarget};

/// rustc options for a target on this machine, besides the sysroot.
pub fn wasi_flags(route: &Route) -> Vec<OsString> {
    let Some(libc) = &route.wasi_libc else { return Vec::new() };
    let mut native = OsString::from("-Lnative=");
    native.push(libc);
    // The start files of a reactor must not be linked: the SDK defines `_initialize` itself.
    vec!["-Clink-self-contained=no".into(), native]
}

/// The cached sysroot of a route, if it uses one.
pub fn dir(route: &Route) -> Option<&Path> {
    route.toolchain.cache.as_deref()
}

/// Compiles the standard library. If two processes do so at once, the first result is kept.
pub fn compile(route: &Route, progress: &dyn Progress) -> Result<()> {
    let sysroot = dir(route).context("no cache directory: set HOME or XDG_CACHE_HOME")?;
    let triple = route.target.triple();
    let cannot_write = || format!("the cache directory {} cannot be written", sysroot.display());
    let lib = sysroot.join("lib/rustlib").join(triple);
    fs::create_dir_all(lib.parent().unwrap_or(sysroot)).with_context(cannot_write)?;

    // In the cache instead of /tmp, so that the result can be renamed into place.
    let work = tempfile::tempdir_in(sysroot).with_context(cannot_write)?;
    fs::write(work.path().join("Cargo.toml"), MANIFEST).with_context(cannot_write)?;
    fs::write(work.path().join("lib.rs"), "").with_context(cannot_write)?;

    let mut command = cargo::command(&route.toolchain, work.path());
    cargo::for_wasm(&mut command);
    cargo::configure(&mut command, route, &flags(route));
    command.args(["build", "--release", "--target", triple, "-Zbuild-std=std,panic_abort"]);
    command.arg("--message-format=json-render-diagnostics");
    command.arg("--target-dir").arg(work.path().join("target"));
    // `-Zbuild-std` is unstable; this variable allows it in a stable cargo.
    command.env("RUSTC_BOOTSTRAP", "1");
    let output = process::run(&mut command, progress)?.success().with_context(|| {
        format!(
            "the standard library for {triple} cannot be compiled with rustc {} from the source in {}",
            route.toolchain.version,
            route.toolchain.sysroot.join("lib/rustlib/src").display()
        )
    })?;

    let made = work.path().join("made");
    fs::create_dir_all(made.join("lib")).with_context(cannot_write)?;
    let libraries = libraries(&output.stdout, triple);
    ensure!(
        libraries.iter().any(|path| name(path).starts_with("libstd-")),
        "cargo compiled no standard library for {triple}, although it reported success"
    );
    for library in libraries {
        fs::copy(&library, made.join("lib").join(name(&library))).with_context(cannot_write)?;
    }
    match fs::rename(&made, &lib) {
        // Another process finished first, with the same result.
        Err(_) if lib.join("lib").is_dir() => Ok(()),
        renamed => renamed.with_context(cannot_write),
    }
}

/// Flags for use with any profile: link-time optimization needs the bitcode.
fn flags(route: &Route) -> Vec<OsString> {
    let mut flags = wasi_flags(route);
    flags.push("-Cembed-bitcode=yes".into());
    flags
}

/// The libraries for the target in cargo's output.
fn libraries(messages: &[u8], triple: &str) -> Vec<PathBuf> {
    cargo::artifacts(messages)
        .flat_map(|artifact| artifact.filenames)
        .filter(|path| path.extension().is_some_and(|extension| extension == "rlib"))
        .filter(|path| path.components().any(|part| part.as_os_str() == triple))
        .filter(|path| !name(path).starts_with("libdynvm_std"))
        .collect()
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

const MANIFEST: &str = r#"[package]
name = "dynvm-std"
version = "0.0.0"
edition = "2021"

[lib]
path = "lib.rs"

[workspace]
"#;

/// Runs `rustup target add`.
pub fn add_target(dir: &Path, target: WasmTarget, progress: &dyn Progress) -> Result<()> {
    let mut command = Command::new("rustup");
    command.current_dir(dir).args(["target", "add", target.triple()]);
    process::clean(&mut command);
    // Without network, some resolvers block for minutes, and rustup retries.
    let limit = std::time::Duration::from_secs(60);
    process::run_within(&mut command, progress, Some(limit))?.success()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_those_of_the_target() {
        let line = |file: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"m","target":{{"kind":["lib"]}},"filenames":["{file}"]}}"#
            )
        };
        let messages = [
            line("/t/wasm32-wasip1/release/deps/libstd-1.rlib"),
            line("/t/wasm32-wasip1/release/deps/libstd-1.rmeta"),
            line("/t/wasm32-wasip1/release/libdynvm_std.rlib"),
            line("/t/release/deps/libautocfg-1.rlib"),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ];
        let found = libraries(messages.join("\n").as_bytes(), "wasm32-wasip1");
        assert_eq!(found, [PathBuf::from("/t/wasm32-wasip1/release/deps/libstd-1.rlib")]);
    }
}
