//! Envoy accepts a converted configuration, and hands the module what it handed to V8.
//!
//! The module is a stub that writes down what Envoy gives it, so that this tests the text and nothing else.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/envoy");

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn shared_object(source: &str, object: &Path) {
    let source = format!("{FOLDER}/{source}");
    run(Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(object).arg(source));
}

fn convert(config: &Path, plugins: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynvm"));
    command.args(["envoy", "convert"]).arg(config).arg("--plugin").arg(plugins);
    command.arg("--module").arg(plugins.join("libdynvm_envoy.so"));
    String::from_utf8(run(&mut command).stdout).unwrap()
}

#[needs::cc]
#[needs::envoy]
#[test]
fn envoy_accepts_what_convert_writes() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for name in ["net", "log", "auth", "flow", "ecds"] {
        shared_object("plugin.c", &path(&format!("lib{name}.so")));
    }
    shared_object("stub.c", &path("libdynvm_envoy.so"));
    let read = |name: &str| std::fs::read_to_string(format!("{FOLDER}/{name}")).unwrap();
    std::fs::write(path("old.yaml"), read("envoy.yaml").replace("ECDS", path("ecds.yaml").to_str().unwrap())).unwrap();
    std::fs::write(path("old-ecds.yaml"), read("ecds.yaml")).unwrap();
    std::fs::write(path("ecds.yaml"), convert(&path("old-ecds.yaml"), dir.path())).unwrap();
    std::fs::write(path("new.yaml"), convert(&path("old.yaml"), dir.path())).unwrap();

    let envoy = std::env::var_os("DYNVM_ENVOY").expect("DYNVM_ENVOY names an Envoy");
    let mut command = Command::new(envoy);
    command.args(["--mode", "validate", "-c"]).arg(path("new.yaml"));
    command.env("STUB_LOG", path("stub.log"));
    run(&mut command);

    let log = std::fs::read_to_string(path("stub.log")).unwrap();
    let mut seen: Vec<(&str, Value)> = log
        .lines()
        .map(|line| {
            let at = line.match_indices(' ').nth(1).unwrap().0;
            (&line[..at], serde_json::from_str(&line[at..]).unwrap())
        })
        .collect();
    seen.sort_by_key(|(name, _)| *name);
    let names: Vec<&str> = seen.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["http auth", "http flow", "log log", "log log", "network net"]);
    assert_eq!(seen[2], seen[3], "an alias");
    let (_, auth) = &seen[0];
    let expected = serde_json::json!({
        "dynvm": {"native": true},
        "name": "auth", "root_id": "auth_root", "fail_open": true,
        "configuration": {
            "@type": "type.googleapis.com/google.protobuf.StringValue", "value": "{\n  \"key\": \"\\u00fc\"\n\n}\n",
        },
        "vm_config": {
            "vm_id": "edge", "runtime": "envoy.wasm.runtime.v8", "allow_precompiled": true,
            "code": {"local": {"filename": path("libauth.so")}},
        },
    });
    assert_eq!(auth, &expected);
}
