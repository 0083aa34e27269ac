//! Compiles C plugins for both backends, and C++ plugins natively.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex};

use crate::Backend;

/// The directory for build output of tests: cargo's `target/tmp`, found from the test's program in
/// `target/release/deps`.
pub fn output_dir() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let dir = program.ancestors().nth(3).unwrap().join("tmp");
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// A file or directory of the package `dynvm-tests`.
pub fn tests_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The machine that the tests are built for, where that is not the one that builds them. Cargo has it from the same variable.
pub fn target() -> Option<String> {
    std::env::var("CARGO_BUILD_TARGET").ok()
}

/// What cargo builds as a release, in its directory.
pub fn release(directory: &Path, file: &str) -> PathBuf {
    directory.join(target().unwrap_or_default()).join("release").join(file)
}

/// Compiles a plugin of `tests/plugins`, once in a process.
pub fn plugin(backend: Backend, source: &str, defines: &[&str]) -> PathBuf {
    static BUILT: LazyLock<Mutex<HashMap<String, PathBuf>>> = LazyLock::new(Mutex::default);
    let key = format!("{backend:?} {source} {defines:?}");
    let mut built = BUILT.lock().unwrap_or_else(|e| e.into_inner());
    if let Some(path) = built.get(&key) {
        return path.clone();
    }
    let path = compile(backend, source, defines, built.len());
    built.insert(key, path.clone());
    path
}

fn compile(backend: Backend, source: &str, defines: &[&str], number: usize) -> PathBuf {
    let dir = output_dir();
    let source = tests_dir().join("plugins").join(source);
    let include = dynvm::abi::INCLUDE_DIR;
    let (mut command, suffix) = match backend {
        Backend::Native => {
            let is_cpp = source.extension().is_some_and(|e| e == "cc");
            let mut command = if is_cpp { compiler("CXX", "c++") } else { cc() };
            command.args(["-shared", "-fPIC"]);
            (command, "so")
        }
        Backend::Wasm => {
            let mut command = Command::new(wasm_compiler());
            command.args(["--target=wasm32", "-nostdlib", "-fno-builtin", "-Wl,--no-entry"]);
            (command, "wasm")
        }
        Backend::Null => panic!("plugins that are linked are built with the harness"),
    };
    let target =
        dir.join(format!("{}-{}-{number}.{suffix}", source.file_stem().unwrap().display(), std::process::id()));
    // A statically linked C++ library allocates from the image's heap.
    command.args(defines.iter().filter(|define| **define == "STATIC").map(|_| "-static-libstdc++"));
    command.args(["-fstack-protector-strong"].iter().filter(|_| backend == Backend::Native));
    command.args(["-O1", "-Wall", "-Wno-infinite-recursion", "-Wno-unknown-warning-option", "-I", include]);
    command.args(defines.iter().map(|define| format!("-D{define}"))).arg(source).arg("-o").arg(&target);
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    assert!(output.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    target
}

/// The C compiler for the machine that the tests are built for.
pub fn cc() -> Command {
    compiler("CC", "cc")
}

fn compiler(variable: &str, default: &str) -> Command {
    Command::new(std::env::var_os(variable).unwrap_or_else(|| default.into()))
}

/// A clang that makes wasm.
fn wasm_compiler() -> String {
    let named = std::env::var("DYNVM_WASM_CC").ok();
    let versions = (14..=22).rev().map(|version| format!("clang-{version}"));
    let works = |name: &String| {
        let targets = Command::new(name).arg("--print-targets").output();
        targets.is_ok_and(|targets| String::from_utf8_lossy(&targets.stdout).contains("wasm32"))
    };
    named
        .into_iter()
        .chain(versions)
        .chain(["clang".to_owned()])
        .find(works)
        .expect("a clang for wasm32 is needed: install clang-19 and lld-19 (Debian), or set DYNVM_WASM_CC")
}
