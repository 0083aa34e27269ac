//! Every example plugin behaves the same natively and as wasm, and its scenario shows what it is for.

use std::path::{Path, PathBuf};
use std::process::Command;

fn examples() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/plugins");
    let mut plugins: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    plugins.retain(|path| path.join("scenario.json").is_file());
    plugins.sort();
    plugins
}

fn dynvm(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_dynvm")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[needs::wasm_rust]
#[needs::wasi_clang]
#[test]
fn both_builds_of_each_example_behave_the_same() {
    let plugins = examples();
    let dir = tempfile::tempdir().unwrap();
    let minimal = dir.path().join("minimal.json");
    assert!(plugins.len() >= 9, "at least eight Rust plugins and one in C: {plugins:?}");
    for plugin in plugins {
        let arguments = ["ab", plugin.to_str().unwrap(), "--duration", "0", "--format", "json", "--generate", "3000"];
        let (code, out, err) = dynvm(&[&arguments[..], &["--minimal", minimal.to_str().unwrap()]].concat());
        assert_eq!(code, Some(0), "{}:\n{out}\n{err}", plugin.display());
        let report: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(report["verdict"], "identical");
        assert_eq!(report["generated"]["streams"], 3000, "{}", plugin.display());
        assert!(report["steps"].as_u64().unwrap() > 3, "{}: a scenario of some steps", plugin.display());
    }
}

#[needs::wasm_rust]
#[test]
fn run_shows_what_the_plugin_did() {
    let plugin = examples().into_iter().find(|path| path.ends_with("jwt-auth")).unwrap();
    for backend in ["native", "wasm"] {
        let (code, out, err) = dynvm(&["run", plugin.to_str().unwrap(), "--backend", backend, "--trace"]);
        assert_eq!(code, Some(0), "{out}\n{err}");
        for part in [
            "local response",
            ":status: 401",
            "proxy_on_request_headers(context_id: 2",
            "proxy_get_header_map_value(map_type: HttpRequestHeaders",
        ] {
            assert!(out.contains(part), "{part} is in:\n{out}");
        }
    }
}

#[needs::wasm_rust]
#[test]
fn run_counts_what_the_plugin_did() {
    let plugin = examples().into_iter().find(|path| path.ends_with("header-rewrite")).unwrap();
    for backend in ["native", "wasm"] {
        let run = |stats| dynvm(&["run", plugin.to_str().unwrap(), "--backend", backend, "--request", "/", stats]);
        let (code, out, err) = run("--stats=json");
        assert_eq!(code, Some(0), "{out}\n{err}");
        let stats: serde_json::Value = serde_json::from_str(&out).unwrap();
        let seen = &stats["plugins"][0];
        assert_eq!((&seen["backend"], &seen["starts"]["started"]), (&backend.into(), &1.into()), "{stats}");
        let callbacks = seen["callbacks"].as_array().unwrap();
        let headers = callbacks.iter().find(|seen| seen["callback"] == "proxy_on_request_headers").unwrap();
        assert_eq!(headers["count"], 1);
        assert!(headers["sum_ns"].as_u64().unwrap() > 0 && headers["p99_ns"].as_u64().unwrap() > 0, "{headers}");
        assert_eq!(stats["modules"][0]["vms_created"], 1);

        let (code, out, err) = run("--stats=prometheus");
        assert_eq!(code, Some(0), "{out}\n{err}");
        assert!(out.starts_with("# HELP dynvm_module_info "), "{out}");
        let count = out.lines().find(|line| {
            line.starts_with("dynvm_callback_duration_seconds_count") && line.contains("proxy_on_request_headers")
        });
        assert!(count.unwrap().ends_with(" 1"), "{out}");
        assert!(out.contains(&format!("backend=\"{backend}\"")), "{out}");
    }
}

#[needs::wasi_clang]
#[test]
fn a_planted_difference_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("width.c");
    // The classic: a size that is 8 bytes natively and 4 in wasm.
    std::fs::write(
        &source,
        r#"#include <dynvm/dynvm.h>
        void proxy_abi_version_0_2_1(void) {}
        uint32_t proxy_on_request_headers(uint32_t context_id, size_t num_headers, uint32_t end_of_stream) {
          uint8_t digit = '0' + sizeof(size_t);
          (void)context_id; (void)num_headers; (void)end_of_stream;
          proxy_add_header_map_value(0, (const uint8_t *)"x-width", 7, &digit, 1);
          return 0;
        }"#,
    )
    .unwrap();
    let out_dir = dir.path().to_str().unwrap();
    let (code, out, err) = dynvm(&["build", source.to_str().unwrap(), "--out-dir", out_dir]);
    assert_eq!(code, Some(0), "{out}\n{err}");
    let (so, wasm) = (dir.path().join("width.so"), dir.path().join("width.wasm"));
    let (code, out, err) = dynvm(&["ab", so.to_str().unwrap(), wasm.to_str().unwrap(), "--duration", "0"]);
    assert_eq!(code, Some(1), "{out}\n{err}");
    for part in ["differ", "x-width", "native 8", "wasm   4"] {
        assert!(out.contains(part), "{part} is in:\n{out}");
    }
}

#[test]
fn mistakes_are_named() {
    let cases: &[(&[&str], i32, &str)] = &[
        (&["run", "/nowhere/plugin.so"], 3, "/nowhere/plugin.so: cannot be read"),
        (&["ab", "/nowhere/a.so", "/nowhere/b.wasm"], 3, "/nowhere/a.so: cannot be read"),
        (&["ab", "/bin/sh"], 2, "is one file"),
        (&["run", "/bin/sh"], 3, "this is a program, not a shared object"),
        (&["run", "/bin/sh", "--request", "GET nowhere"], 2, "a path begins with '/'"),
        (&["run", "/bin/sh", "--scenario", "/nowhere.json"], 2, "/nowhere.json cannot be read"),
        (&["run", "/bin/sh", "--traffic", "/nowhere.har"], 2, "/nowhere.har cannot be read"),
        (&["run", "/bin/sh", "--traffic", "/etc/hostname"], 2, "/etc/hostname is not JSON Lines: line 1"),
        (&["ab", "/bin/sh", "/bin/sh", "--allow", "everything"], 2, "size-width"),
        (&["ab", "/bin/sh", "/bin/sh", "--streams-per-vm", "0"], 2, "--streams-per-vm"),
        (&["frobnicate"], 2, "unrecognized subcommand"),
        (&["ab", "/bin/sh", "/bin/sh", "--duration=-1"], 2, "--duration"),
    ];
    for (arguments, expected, message) in cases {
        let (code, out, err) = dynvm(arguments);
        assert_eq!(code, Some(*expected), "{arguments:?}:\n{out}\n{err}");
        assert!(err.contains(message), "{message:?} is in:\n{err}");
    }
}

#[needs::wasi_clang]
#[test]
fn recorded_traffic_is_compared() {
    let plugin = examples().into_iter().find(|path| path.ends_with("c-headers")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let entry = |path: &str| {
        format!(
            r#"{{"request": {{"method": "POST", "url": "https://example.com{path}", "headers": [],
            "postData": {{"text": "/wA=", "encoding": "base64"}}}}, "response": {{"status": 404, "headers": []}}}}"#
        )
    };
    let archive = format!(r#"{{"log": {{"entries": [{}, {}]}}}}"#, entry("/a"), entry("/b?c"));
    let lines = "{\"path\": \"/a\"}\n{\"tick\": 5}\n{\"headers\": {\"x\": [{\"base64\": \"/w==\"}, \"\"]}}\n";
    for (name, text, steps) in [("traffic.har", archive.as_str(), 3), ("traffic.jsonl", lines, 4)] {
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        let arguments =
            ["ab", plugin.to_str().unwrap(), "--duration", "0", "--format", "json", "--strict", "--traffic"];
        let (code, out, err) = dynvm(&[&arguments[..], &[file.to_str().unwrap()]].concat());
        assert_eq!(code, Some(0), "{out}\n{err}");
        let report: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&report["verdict"], &report["steps"]), (&"identical".into(), &steps.into()), "{name}");
    }
}
