//! `dynvm ab` measures, decides thresholds and writes reports.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn header_rewrite() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/plugins/header-rewrite")
}

/// Runs it on the example, and returns the exit code, the standard output and the standard error.
fn ab(arguments: &[&str]) -> (Option<i32>, String, String) {
    let plugin = header_rewrite();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynvm"));
    let output = command.arg("ab").arg(plugin).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[needs::wasm_rust]
#[test]
fn it_measures_all_that_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let [json, html] = ["report.json", "report.html"].map(|name| dir.path().join(name));
    let arguments = ["--duration", "0.5", "--format", "json", "--json", json.to_str().unwrap()];
    let (code, out, err) = ab(&[&arguments[..], &["--html", html.to_str().unwrap()]].concat());
    assert_eq!(code, Some(0), "{out}\n{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let written: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(report, written, "--format json and --json say the same");
    assert_eq!((&report["schema"], &report["verdict"]), (&"dynvm-ab/1".into(), &"identical".into()));

    let created = report["created"].as_str().unwrap();
    assert!(
        created.starts_with("20") && created.len() == "2026-01-01T00:00:00Z".len() && created.ends_with('Z'),
        "{created}"
    );

    let measured = &report["measured"];
    assert!(measured["method"]["passes"].as_u64().unwrap() > 0);
    for row in [&measured["traffic"], &measured["stream"], &measured["callbacks"][1]] {
        for side in ["native", "wasm"] {
            let number = |name: &str| row[side][name]["value"].as_f64().unwrap();
            assert!(number("p50_ns") > 0.0 && number("p99_ns") >= number("p50_ns"), "{row}");
        }
        let ratio = &row["ratio"]["p50"];
        let [low, value, high] = ["low", "value", "high"].map(|name| ratio[name].as_f64().unwrap());
        assert!(low <= value && value <= high && low > 0.0, "{ratio}");
    }
    assert!(measured["callbacks"].as_array().unwrap().len() > 4);
    for side in ["native", "wasm", "host"] {
        assert!(measured["whole"]["cpu_ns"][side]["value"].as_f64().unwrap() > 0.0, "{}", measured["whole"]);
    }
    assert!(measured["whole"]["instructions"].is_null() != measured["whole"]["instructions_unavailable"].is_null());
    let sizes = |axis: &str| {
        let points = measured["sweep"][axis]["points"].as_array().unwrap();
        points.iter().map(|point| point["size"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(sizes("headers")[1..], [20, 100]);
    assert_eq!(sizes("body"), [0, 1 << 10, 16 << 10, 64 << 10, 1 << 20]);
    for time in ["native_load_ns", "wasm_compile_ns", "wasm_cached_ns"] {
        assert!(measured["cold_start"][time]["value"].as_f64().unwrap() > 0.0, "{time}");
    }
    assert!(measured["memory_per_vm_bytes"]["native"]["value"].as_f64().unwrap() > 0.0);
    assert!(report["environment"]["wasmtime"].as_str().unwrap().starts_with(|first: char| first.is_ascii_digit()));
    assert!(report["native"]["sdk"].as_str().unwrap().contains("proxy-wasm"));
}

#[needs::wasm_rust]
#[test]
fn thresholds_decide_the_exit_code() {
    let quick = ["--duration", "0.3", "--fail-if"];
    let (code, out, err) = ab(&[&quick[..], &["native.p50 > 1s", "--fail-if", "wasm.memory > 1 GiB"]].concat());
    assert_eq!(code, Some(0), "{out}\n{err}");
    assert!(out.contains("threshold passed: fail if native.p50 > 1s\n"), "{out}");
    assert!(out.contains("threshold passed: fail if wasm.memory > 1 GiB\n"), "{out}");
    assert!(out.contains("of wasm's time (95 % CI "), "{out}");

    let (code, out, err) = ab(&[&quick[..], &["native.p50 > 0ns", "--fail-if", "native.p50 > 1s"]].concat());
    assert_eq!(code, Some(1), "{out}\n{err}");
    for part in [
        "identical",
        "threshold failed: fail if native.p50 > 0ns",
        "native.p50 = ",
        "threshold passed: fail if native.p50 > 1s",
    ] {
        assert!(out.contains(part), "{part} is in:\n{out}");
    }
}

#[needs::wasm_rust]
#[test]
fn a_callback_that_the_traffic_does_not_make_is_known_before_measuring() {
    let (code, out, err) = ab(&["--duration", "600", "--fail-if", "native.on_downstream_data.p99 > 1ms"]);
    assert_eq!(code, Some(2), "{out}\n{err}");
    assert!(
        err.contains("native.on_downstream_data.p99 is not available: the traffic does not make this callback"),
        "{err}"
    );
}

/// Writes a page with names that would end a script.
fn page_with_hostile_names(dir: &Path) -> PathBuf {
    let (scenario, html) = (dir.join("scenario.json"), dir.join("report.html"));
    let steps = r#"{"plugin": {"name": "</script><b>"}, "steps": [{"request": {"path": "/<i>\"'"}}]}"#;
    std::fs::write(&scenario, steps).unwrap();
    let paths = [scenario.to_str().unwrap(), html.to_str().unwrap()];
    let (code, out, err) = ab(&["--scenario", paths[0], "--html", paths[1], "--duration", "0.2"]);
    assert_eq!(code, Some(0), "{out}\n{err}");
    html
}

#[needs::wasm_rust]
#[test]
fn hostile_names_are_text_in_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let page = std::fs::read_to_string(page_with_hostile_names(dir.path())).unwrap();
    assert!(!page.contains("<b>") && !page.contains("<i>") && page.matches("</script>").count() == 1);
}

#[needs::wasm_rust]
#[needs::browser]
#[test]
fn hostile_names_are_text_in_a_browser() {
    let dir = tempfile::tempdir().unwrap();
    let html = page_with_hostile_names(dir.path());
    let browser = std::env::var_os("DYNVM_BROWSER").expect("DYNVM_BROWSER names a browser");
    let profile = format!("--user-data-dir={}", dir.path().join("profile").display());
    let mut command = Command::new(&browser);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", &profile, "--dump-dom"]).arg(&html);
    let output = command.output().unwrap_or_else(|error| panic!("{browser:?} of DYNVM_BROWSER: {error}"));
    let dom = String::from_utf8(output.stdout).unwrap();
    assert!(dom.contains("Both builds behave the same") && dom.contains("<svg"), "{dom}");
    assert!(!dom.contains("<b>") && !dom.contains("<i>"), "the browser found an element in a name");
}
