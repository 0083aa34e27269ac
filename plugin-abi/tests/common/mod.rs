//! Compilers for the tests: finds them, runs them, and reports failures.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Flags under which the headers compile without a warning.
pub const STRICT: &[&str] = &["-Wall", "-Wextra", "-pedantic", "-Werror"];

/// The C compiler: `$CC`, else `cc`.
pub fn cc() -> Command {
    compiler("CC", "cc")
}

/// The C++ compiler: `$CXX`, else `c++`.
pub fn cxx() -> Command {
    compiler("CXX", "c++")
}

fn compiler(variable: &str, default: &str) -> Command {
    // As in make, `$CC` may contain flags after the name.
    let value = std::env::var(variable).unwrap_or_else(|_| default.to_owned());
    let mut words = value.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or(default));
    command.args(words).arg("-I").arg(dynvm_abi::INCLUDE_DIR);
    command
}

/// Runs a command. Returns its standard output, or panics with all of its output.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{:?} cannot be run: {error}", command.get_program()));
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("compilers and our own programs print UTF-8")
}

/// A file of `tests/data`.
pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Compiles a file of `tests/data` to an object.
pub fn compile(mut compiler: Command, flags: &[&str], source: &Path, object: &Path) {
    run(compiler.args(STRICT).args(flags).arg("-c").arg(source).arg("-o").arg(object));
}

/// Every header by its include path: `dynvm/types.h`.
pub fn headers() -> Vec<String> {
    let root = Path::new(dynvm_abi::INCLUDE_DIR);
    let mut found = Vec::new();
    let mut directories = vec![root.join("dynvm")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("the headers are there") {
            let path = entry.expect("the headers are there").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension() == Some(OsStr::new("h")) {
                let name = path.strip_prefix(root).expect("found below the root");
                found.push(name.to_str().expect("names are ASCII").to_owned());
            }
        }
    }
    found.sort();
    found
}

/// `SCREAMING_SNAKE_CASE` of a variant's name.
pub fn screaming(variant: &str) -> String {
    let mut name = String::new();
    for (i, c) in variant.char_indices() {
        if c.is_uppercase() && i > 0 {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}
