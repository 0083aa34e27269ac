//! Whoever reads the output of a command may stop reading: `dynvm ... | head -1` ends quietly.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

const SIGPIPE: i32 = 13;

fn dynvm(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynvm"));
    command.args(arguments).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts.in"));
    command
}

#[test]
fn each_command_ends_quietly_when_nobody_reads_its_output() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    let plugin = "../../../examples/plugins/c-headers";
    let build = ["build", plugin, "--out-dir", folder];
    assert!(dynvm(&build).output().unwrap().status.success());
    let [native, wasm, fat] = ["so", "wasm", "fat.wasm"].map(|kind| format!("{folder}/c-headers.{kind}"));
    let image = format!("{}={native}", std::env::consts::ARCH);
    let commands: &[&[&str]] = &[
        &["build", plugin, "--out-dir", folder, "--format", "json"],
        &["build", plugin, "--out-dir", folder],
        &["inspect", "hello.wat"],
        &["inspect", "hello.wat", "--format", "json"],
        &["verify", "--policy", "trust.toml", "hello.wat"],
        &["verify", "--policy", "trust.toml", "hello.wat", "--format", "json"],
        &["bundle", &wasm, &image, "-o", &fat, "--format", "json"],
        &["run", "hello.wat", "--request", "/", "--trace"],
        &["run", "hello.wat", "--request", "/", "--stats=prometheus"],
        &["run", "hello.wat", "--request", "/", "--stats=json"],
        &["ab", &native, &wasm, "--duration", "0"],
        &["ab", &native, &wasm, "--duration", "0", "--format", "json"],
        &["test", "--proto", "tests.textpb"],
        &["test", "--proto", "tests.textpb", "--format", "json"],
        &["completions", "bash"],
        &["--help"],
    ];
    for arguments in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = dynvm(arguments);
        let output = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.signal(), Some(SIGPIPE), "{arguments:?}: {:?}\n{err}", output.status);
        assert!(!err.contains("panicked") && !err.contains("Broken pipe"), "{arguments:?}:\n{err}");
    }
}
