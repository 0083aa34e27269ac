//! `dynvm build --static`: what it writes becomes part of a program without a build script, in C and in Rust.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn dynvm(arguments: &[&str], out: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynvm"));
    command.current_dir(root()).arg("build").args(arguments).arg("--static").arg("--out-dir").arg(out);
    command.arg("--target-dir").arg(out.join("intermediate")).output().unwrap()
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    assert!(output.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A library of the loader, built by cargo, whose name begins and ends like this.
fn loader(arguments: &[&str], begin: &str, end: &str) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).args(["build", "--release", "--quiet", "--message-format=json"]).args(arguments);
    let text = run(&mut cargo);
    let path = text.split('"').find(|word| word.contains(begin) && word.ends_with(end));
    path.unwrap_or_else(|| panic!("cargo names no library {begin}*{end}")).into()
}

#[needs::cc]
#[needs::lld]
#[test]
fn a_program_in_c() {
    let out = tempfile::tempdir().unwrap();
    let output = dynvm(&["examples/plugins/c-headers", "--slots", "2"], out.path());
    assert!(output.status.success(), "{output:?}");
    let program = out.path().join("program");
    let mut cc = Command::new(std::env::var_os("CC").unwrap_or("cc".into()));
    cc.current_dir(root()).args(["-Wall", "-Wextra", "-Werror", "-I", "loader/include", "-I", "plugin-abi/include"]);
    cc.arg("-I").arg(out.path()).args(["-DLINKED_HEADER=\"c-headers.h\"", "-DLINKED=dvn_c_headers"]);
    cc.arg("examples/hosts/c-embedding/host.c").arg(out.path().join("libdvn_c_headers.a"));
    cc.arg(loader(&["-p", "dynvm-capi"], "/libdynvm_loader", ".a"))
        .args(["-lpthread", "-ldl", "-lm", "-lgcc_s", "-o"])
        .arg(&program);
    run(&mut cc);
    let text = run(Command::new(program).arg("c-headers"));
    assert!(text.starts_with("log 2: /hello\naction 0\n") && text.ends_with("x-plugin: c-headers\n"), "{text}");
}

#[needs::lld]
#[test]
fn a_program_in_rust() {
    let out = tempfile::tempdir().unwrap();
    let output = dynvm(&["examples/plugins/header-rewrite"], out.path());
    assert!(output.status.success(), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("  VMs      any number, with the same statics\n"),
        "{output:?}"
    );
    let program = out.path().join("program");
    let loader = loader(&["-p", "dynvm", "--no-default-features", "--features", "null"], "/libdynvm.", "rlib");
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()));
    rustc.args(["--edition", "2024", "--crate-name", "program", "-o"]).arg(&program).arg("-L").arg(out.path());
    rustc.arg("--extern").arg(format!("dynvm={}", loader.display()));
    rustc.arg("-L").arg(format!("dependency={}", loader.with_file_name("deps").display()));
    // The source file of the plugin, as a program without a build script has it.
    rustc.env("OUT_DIR", out.path()).arg(root().join("cli/tests/data/linked.rs"));
    run(&mut rustc);
    assert_eq!(run(&mut Command::new(program)), "header-rewrite: Continue\n");
}

/// Whether statics of a plugin in Rust matter. A shared object shows the same, for `dynvm ab`.
#[needs::lld]
#[test]
fn statics_of_a_plugin() {
    let out = tempfile::tempdir().unwrap();
    for (options, slots) in [(&["--share-statics"][..], serde_json::Value::Null), (&[], 1.into())] {
        let output =
            dynvm(&[&["crates/link/tests/plugins/sdk-current", "--format", "json"], options].concat(), out.path());
        assert!(output.status.success(), "{output:?}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let linked = &report["plugins"][0]["static"];
        assert_eq!(linked["statics"][0], "linked_sdk_current::behavior::TOTAL", "{report}");
        assert_eq!(linked["slots"], slots);
        assert_eq!(linked["notes"].as_array().unwrap().len(), usize::from(options.is_empty()), "{report}");
    }
    let mut build = Command::new(env!("CARGO_BIN_EXE_dynvm"));
    build.args(["build", "crates/link/tests/plugins/sdk-current", "--native-only", "--out-dir"]);
    run(build.arg(out.path()).current_dir(root()));
    let shared_object = std::fs::read(out.path().join("linked-sdk-current.so")).unwrap();
    let statics = dynvm_link::statics_of_shared_object(&shared_object);
    assert_eq!(statics, Some(vec!["linked_sdk_current::behavior::TOTAL".to_owned()]));
}

#[needs::cc]
#[needs::lld]
#[test]
fn a_plugin_that_cannot_be_linked() {
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("bad.c");
    std::fs::write(&file, "int f(void) { return 1; }\n").unwrap();
    let output = dynvm(&[file.to_str().unwrap(), "--format", "json"], out.path());
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let error = report["plugins"][0]["static"]["error"].as_str().unwrap();
    assert!(error.contains("bad.c was not linked") && error.contains("exports none of"), "{error}");
}
