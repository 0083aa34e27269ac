//! A package whose build script links a plugin.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::fixture::{succeed, tests};

/// The plugin is in a library, and the program has it from there.
#[needs::cc]
#[needs::lld]
#[test]
fn of_a_package() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("package");
    fs::create_dir_all(dir.join("src")).unwrap();
    let manifest = format!(
        r#"[package]
name = "appliance"
version = "1.0.0"
edition = "2024"

[dependencies]
dynvm = {{ package = "dynvm-abi", path = {abi:?} }}

[build-dependencies]
dynvm-link = {{ path = {link:?} }}

[workspace]
"#,
        abi = root.join("plugin-abi"),
        link = root.join("crates/link"),
    );
    let plugin = tests().join("plugins/sdk-current");
    let build = format!(
        "fn main() -> Result<(), dynvm_link::LinkError> {{\n    \
         dynvm_link::plugin({plugin:?}).state(dynvm_link::StateModel::PerThread).emit()\n}}\n"
    );
    let library = r#"include!(concat!(env!("OUT_DIR"), "/linked-sdk-current.rs"));"#;
    let plugins = "pub fn check() { crate::checks::per_thread(&appliance::PLUGIN) }";
    for (name, content) in
        [("Cargo.toml", &*manifest), ("build.rs", &*build), ("src/lib.rs", library), ("plugins.rs", plugins)]
    {
        fs::write(dir.join(name), content).unwrap();
    }
    fs::copy(root.join("Cargo.lock"), dir.join("Cargo.lock")).unwrap();
    for file in ["main.rs", "vm.rs", "checks.rs", "hostcalls.rs", "libc.rs"] {
        fs::copy(tests().join("programs/host").join(file), dir.join("src").join(file)).unwrap();
    }

    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "--offline"]).current_dir(&dir).env("PLUGINS", dir.join("plugins.rs"));
    cargo.env("CARGO_TARGET_DIR", dir.join("target"));
    let output = succeed(&mut cargo);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "all right\n");
}
