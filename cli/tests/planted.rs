//! Differences planted in plugins are found in generated traffic, made small and explained.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

fn plugins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/plugins")
}

fn dynvm(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_dynvm")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Both builds of a planted plugin, and what comparing them on generated traffic says.
struct Planted {
    dir: TempDir,
    files: [String; 2],
    difference: Value,
}

impl Planted {
    fn find(name: &str) -> Planted {
        let mut planted = Planted::build(name);
        let report = planted.ab(&["--generate", "50000"], 1);
        planted.difference = report["difference"].clone();
        planted
    }

    fn build(name: &str) -> Planted {
        let dir = tempfile::tempdir().unwrap();
        let source = plugins().join("planted").join(format!("{name}.c"));
        let (source, folder) = (source.to_str().unwrap(), dir.path().to_str().unwrap());
        let (code, out, err) = dynvm(&["build", source, "--out-dir", folder, "--target-dir", folder]);
        assert_eq!(code, Some(0), "{out}\n{err}");
        let files = ["so", "wasm"].map(|kind| dir.path().join(format!("{name}.{kind}")).to_str().unwrap().to_owned());
        Planted { dir, files, difference: Value::Null }
    }

    fn minimal(&self) -> String {
        self.dir.path().join("minimal.json").to_str().unwrap().to_owned()
    }

    /// Compares, and writes the smallest scenario.
    fn ab(&self, more: &[&str], expected: i32) -> Value {
        let minimal = self.minimal();
        let fixed =
            ["ab", &self.files[0], &self.files[1], "--duration", "0", "--format", "json", "--minimal", &minimal];
        let (code, out, err) = dynvm(&[&fixed[..], more].concat());
        assert_eq!(code, Some(expected), "{out}\n{err}");
        serde_json::from_str(&out).unwrap()
    }

    fn aspect(&self) -> &str {
        self.difference["aspect"].as_str().unwrap()
    }

    fn explanation(&self) -> String {
        self.difference["explanation"]["says"].to_string()
    }

    /// The steps of the smallest scenario, as JSON.
    fn steps(&self) -> Vec<Value> {
        let scenario: Value = serde_json::from_str(&std::fs::read_to_string(self.minimal()).unwrap()).unwrap();
        scenario["steps"].as_array().unwrap().clone()
    }

    /// The scenario that was written shows the difference again, without generating.
    fn is_reproduced(&self) {
        let minimal = self.minimal();
        let report = self.ab(&["--scenario", &minimal], 1);
        assert_eq!(report["difference"]["aspect"], self.difference["aspect"]);
        assert!(report["generated"].is_null());
    }
}

#[needs::wasi_clang]
#[test]
fn a_width_is_found() {
    let planted = Planted::find("width");
    assert_eq!(planted.aspect(), "proxy_add_header_map_value, value of \"x-shard\"");
    assert!(planted.explanation().contains("width of usize, size_t"), "{}", planted.explanation());
    assert_eq!(planted.steps().len(), 1);
    let headers = planted.steps()[0]["request"]["headers"].clone();
    assert_eq!(headers[0][0], "x-shard-key");
    // Fewer than three bytes cannot overflow 32 bits by more than what the low digits keep.
    assert!(headers[0][1].as_str().unwrap().len() <= 6, "{headers}");
    assert_eq!(headers.as_array().unwrap().len(), 1);
    planted.is_reproduced();
}

#[needs::wasi_clang]
#[test]
fn memory_that_nobody_wrote_is_found() {
    let planted = Planted::find("uninitialised");
    assert_eq!(planted.aspect(), "proxy_add_header_map_value, value of \"x-checksum\"");
    assert!(planted.explanation().contains("uninitialized memory"), "{}", planted.explanation());
    // What is on the stack may be an earlier request's.
    let last = planted.steps().last().unwrap().to_string();
    assert!(last.contains("x-signature"), "{last}");
}

#[needs::wasi_clang]
#[test]
fn a_trap_on_rare_input_is_found() {
    let planted = Planted::find("rare");
    assert!(planted.difference["native"].as_str().unwrap().contains("proxy_on_request_headers failed"));
    assert!(planted.explanation().contains("Only the native build fails"), "{}", planted.explanation());
    // One byte, 0xff, as base64: the least that does it.
    let expected = serde_json::json!([{"request": {"headers": [["x-token", {"base64": "/w=="}]]}}]);
    assert_eq!(Value::from(planted.steps()), expected);
    planted.is_reproduced();
}

#[needs::wasi_clang]
#[test]
fn a_pointer_taken_for_a_number_is_found() {
    let planted = Planted::find("pointer");
    assert_eq!(planted.aspect(), "proxy_add_header_map_value, value of \"x-span\"");
    assert!(planted.explanation().contains("addresses"), "{}", planted.explanation());
    assert_eq!(planted.difference["explanation"]["wasm_repeats"], true);
    assert_eq!(planted.steps().len(), 1);
}

#[needs::wasi_clang]
#[test]
fn a_struct_as_it_lies_in_memory_is_found() {
    let planted = Planted::find("alignment");
    assert_eq!(planted.aspect(), "proxy_add_header_map_value, value of \"x-record\"");
    assert!(planted.explanation().contains("alignment"), "{}", planted.explanation());
    let expected = serde_json::json!([{"request": {"headers": [["x-debug-mode", "1"]]}}]);
    assert_eq!(Value::from(planted.steps()), expected);
    planted.is_reproduced();
}

#[needs::wasm_rust]
#[test]
fn header_maps_are_compared_as_the_host_reads_them() {
    let planted = Planted::build("map-width");
    let report = planted.ab(&["--strict", "--request", "/"], 0);
    assert_eq!((&report["verdict"], &report["steps"]), (&"identical".into(), &2.into()));
    let report = planted.ab(&["--request", "/", "--header", "x-differ: 1"], 1);
    assert_eq!(report["difference"]["aspect"], "proxy_send_local_response, headers");
}

#[test]
fn the_order_of_a_hash_map_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let minimal = dir.path().join("minimal.json");
    let plugin = plugins().join("hash-order");
    let arguments = ["ab", plugin.to_str().unwrap(), "--duration", "0", "--format", "json", "--generate", "50000"];
    let (code, out, err) = dynvm(&[&arguments[..], &["--minimal", minimal.to_str().unwrap()]].concat());
    assert_eq!(code, Some(1), "{out}\n{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let difference = &report["difference"];
    assert_eq!(difference["aspect"], "proxy_replace_header_map_value, value of \"x-tags\"");
    assert_eq!(difference["explanation"]["native_repeats"], false);
    assert!(difference["explanation"]["says"].to_string().contains("HashMap"), "{difference}");
    // Two names are the least that have an order, and do not show it in each run.
    let scenario: Value = serde_json::from_str(&std::fs::read_to_string(&minimal).unwrap()).unwrap();
    let names = scenario.to_string().matches("x-tag-").count();
    assert!((2..=6).contains(&names), "{scenario}");
    assert!(difference["scenario"]["shows_in_ten"].as_u64().unwrap() <= 10);
}

#[needs::wasi_clang]
#[test]
fn a_difference_is_shown_as_two_aligned_traces() {
    let planted = Planted::find("alignment");
    let minimal = planted.minimal();
    let (code, out, err) =
        dynvm(&["ab", &planted.files[0], &planted.files[1], "--duration", "0", "--scenario", &minimal]);
    assert_eq!(code, Some(1), "{out}\n{err}");
    for part in [
        "- native + wasm",
        "    -> proxy_on_request_headers(context_id: 2",
        "  -    proxy_add_header_map_value(map_type: HttpRequestHeaders, key: \"x-record\", value: \"r\\x00\\x00\\x00\\x00",
        "  +    proxy_add_header_map_value(map_type: HttpRequestHeaders, key: \"x-record\", value: \"r\\x00\\x00\\x00\\x07",
        "1 step shows",
    ] {
        assert!(out.contains(part), "{part:?} is in:\n{out}");
    }
    let rows = planted.difference["trace"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["same"] == true) && rows.iter().any(|row| row["same"] == false));
}
