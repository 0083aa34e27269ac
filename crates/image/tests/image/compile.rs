//! Shared objects from sources.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A folder for the files of this process.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()).path()
}

/// A new file name.
pub fn new_path(extension: &str) -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    folder().join(format!("lib{}.{extension}", COUNT.fetch_add(1, Ordering::Relaxed)))
}

/// Compiles C to a program.
pub fn program(text: &str, arguments: &[&str]) -> PathBuf {
    let (input, output) = (new_path("c"), new_path("program"));
    std::fs::write(&input, text).unwrap();
    let mut compiler = compiler("CC", "cc");
    compiler.arg("-o").arg(&output).arg(&input).args(arguments);
    run(compiler);
    output
}

fn compiler(variable: &str, default: &str) -> Command {
    Command::new(std::env::var_os(variable).unwrap_or_else(|| default.into()))
}

/// Compiles C to a shared object.
pub fn c(source: &str, arguments: &[&str]) -> PathBuf {
    build(compiler("CC", "cc"), source, "c", arguments)
}

/// Compiles C++ to a shared object.
pub fn cpp(source: &str, arguments: &[&str]) -> PathBuf {
    build(compiler("CXX", "c++"), source, "cc", arguments)
}

/// Compiles C++ with clang to a shared object.
pub fn clang_cpp(source: &str, arguments: &[&str]) -> PathBuf {
    let names = (14..=23).rev().map(|version| format!("clang++-{version}")).chain(["clang++".to_owned()]);
    let runs = |name: &String| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    build(Command::new(names.into_iter().find(runs).expect("a clang")), source, "cc", arguments)
}

fn build(mut compiler: Command, source: &str, extension: &str, arguments: &[&str]) -> PathBuf {
    let (input, output) = (new_path(extension), new_path("so"));
    std::fs::write(&input, source).unwrap();
    compiler.args(["-shared", "-fPIC", "-O1", "-g", "-o"]).arg(&output).arg(&input).args(arguments);
    run(compiler);
    output
}

/// Compiles Rust to a shared object.
pub fn rust(source: &str, arguments: &[&str]) -> PathBuf {
    let (input, output) = (new_path("rs"), new_path("so"));
    std::fs::write(&input, source).unwrap();
    let mut compiler = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    compiler.args(["--edition=2024", "--crate-type=cdylib", "-Cdebuginfo=1", "--crate-name=plugin", "-o"]);
    compiler.arg(&output).arg(&input).args(arguments);
    run(compiler);
    output
}

fn run(mut command: Command) {
    let result = command.output().unwrap();
    assert!(result.status.success(), "{command:?}: {}", String::from_utf8_lossy(&result.stderr));
}
