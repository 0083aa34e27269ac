//! `dynvm ab` measures, decides thresholds and writes reports.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn header_rewrite() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/plugins/header-rewrite")
}

/// Runs it on the example, and returns the exit code, the standard output and the standard error.
fn ab(arguments: &[&str]) -> (Option<i32>, String, String) {
    ab_on(&[&[header_rewrite().to_str().unwrap()], arguments].concat())
}

fn ab_on(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_dynvm")).arg("ab").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Both builds of a plugin in C, beside its source.
fn build(source: &Path, text: &str) -> [String; 2] {
    std::fs::write(source, text).unwrap();
    let folder = source.parent().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynvm"));
    let output = command.arg("build").arg(source).arg("--out-dir").arg(folder).arg("--target-dir").arg(folder).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    ["so", "wasm"].map(|kind| source.with_extension(kind).to_str().unwrap().to_owned())
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
    let passes = measured["method"]["passes"].as_u64().unwrap();
    assert!(passes > 0);
    for row in [&measured["traffic"], &measured["stream"], &measured["callbacks"][1]] {
        for side in ["native", "wasm"] {
            let p50 = row[side]["p50_ns"]["value"].as_f64().unwrap();
            // A slow machine has too few passes for it in this time.
            let p99 = row[side]["p99_ns"]["value"].as_f64();
            assert!(p50 > 0.0 && p99.is_none_or(|p99| p99 >= p50) && (p99.is_some() || passes < 200), "{row}");
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
    assert_eq!((&report["native"]["statics"], &report["wasm"]["statics"]), (&serde_json::json!([]), &Value::Null));
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
        "linked into a program: any number of VMs, as it has no statics of its own\n",
    ] {
        assert!(out.contains(part), "{part} is in:\n{out}");
    }
}

/// What a machine that is not quiet is warned of. All other warnings are about the traffic or the plugin.
const OF_THE_MACHINE: [&str; 5] = [
    "the machine was busy at the start",
    "the hypervisor gave",
    "the processor's frequency may change",
    "the interval of the ratio is wide",
    "too few passes for intervals",
];

#[needs::wasm_rust]
#[test]
fn the_main_job_measures_what_it_names_and_warns_of_nothing_but_the_machine() {
    let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/plugins/jwt-auth");
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("report.json");
    let (code, out, err) = ab_on(&[plugin.to_str().unwrap(), "--duration", "0.5", "--json", json.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{out}\n{err}");
    let report: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    let warnings = report["warnings"].as_array().unwrap().iter().map(|warning| warning.as_str().unwrap());
    let others: Vec<&str> =
        warnings.filter(|warning| !OF_THE_MACHINE.iter().any(|known| warning.starts_with(known))).collect();
    assert!(others.is_empty(), "{others:#?}");
    assert!(!err.contains("warning"), "{err}");
    let expected = serde_json::json!([
        {"outcome": "200 by the upstream", "streams": 4},
        {"outcome": "401 by the plugin", "streams": 6},
    ]);
    assert_eq!(report["measured"]["outcomes"], expected);
    assert!(out.contains("; of 10 streams 4 end with 200 by the upstream, 6 end with 401 by the plugin"), "{out}");
}

/// Tokens expire and buckets run empty within a pass, and are as they were at the start of the next.
#[needs::wasm_rust]
#[test]
fn passes_begin_from_the_same_state() {
    for name in ["rate-limit", "queue-tick"] {
        let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/plugins").join(name);
        let (code, out, err) = ab_on(&[plugin.to_str().unwrap(), "--duration", "0.3", "--format", "json"]);
        assert_eq!(code, Some(0), "{out}\n{err}");
        let report: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(report["measured"]["method"]["changed"], serde_json::json!([]), "{name}");
    }
}

#[needs::wasi_clang]
#[test]
fn builds_that_crash_alike_are_said_to() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("crash.c");
    let text = r#"#include <dynvm/dynvm.h>
        void proxy_abi_version_0_2_1(void) {}
        uint32_t proxy_on_request_headers(uint32_t context_id, size_t num_headers, uint32_t end_of_stream) {
          (void)context_id; (void)num_headers; (void)end_of_stream;
          __builtin_trap();
        }"#;
    let files = build(&source, text);
    let files = files.each_ref().map(String::as_str);
    let fixed =
        [files[0], files[1], "--duration", "0", "--streams-per-vm", "10", "--generate", "100", "--request", "/"];
    let (code, out, err) = ab_on(&[&fixed[..], &["--format", "json"]].concat());
    assert_eq!(code, Some(0), "{out}\n{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let failures = report["failures"].as_array().unwrap();
    assert_eq!((failures.len(), &failures[0]["callback"]), (1, &"proxy_on_request_headers".into()), "{failures:#?}");
    assert!(failures[0]["count"].as_u64().unwrap() > 50, "{failures:#?}");
    assert!(failures[0]["wasm"].as_str().unwrap().contains("unreachable"), "{failures:#?}");
    let (_, out, _) = ab_on(&fixed);
    let first = out.lines().next().unwrap();
    assert!(first.contains("identical results on both builds, and both crash"), "{out}");
    assert!(out.contains("both fail in proxy_on_request_headers"), "{out}");
}

#[needs::wasm_rust]
#[test]
fn a_refused_configuration_is_told_with_the_plugins_log() {
    let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/plugins/jwt-auth");
    let (code, out, err) = ab_on(&[plugin.to_str().unwrap(), "--duration", "0", "--config", "{\"secret\": \"short\"}"]);
    assert_eq!(code, Some(3), "{out}\n{err}");
    assert!(err.contains("it logged:\n  [error] the secret is shorter than 32 bytes"), "{err}");
}

/// It is not a difference in behaviour: nothing of that build has run.
#[needs::wasi_clang]
#[test]
fn a_build_that_cannot_be_loaded_is_no_difference() {
    let dir = tempfile::tempdir().unwrap();
    let text = |body: &str| {
        format!(
            "#include <dynvm/dynvm.h>\nvoid proxy_abi_version_0_2_1(void) {{}}\n#ifndef __wasm__\nint nowhere(void);\n#else\n\
             static int nowhere(void) {{ return 0; }}\n#endif\n{body}"
        )
    };
    let body = "uint32_t proxy_on_vm_start(uint32_t a, size_t b) { (void)a, (void)b; return 1 + nowhere(); }";
    let files = build(&dir.path().join("undefined.c"), &text(body));
    let (code, out, err) = ab_on(&[&files[0], &files[1], "--duration", "0"]);
    assert_eq!(code, Some(3), "{out}\n{err}");
    assert!(err.contains("nowhere") && !out.contains("differ"), "{out}\n{err}");
}

#[needs::wasi_clang]
#[test]
fn a_directory_without_a_name_is_called_by_its_own() {
    let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/plugins/c-headers");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynvm"));
    let arguments = ["ab", ".", "--duration", "0", "--format", "json", "--scenario", "/dev/stdin"];
    let mut child = command
        .args(arguments)
        .current_dir(plugin)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"{\"steps\": [{\"request\": {}}]}").unwrap();
    let report: Value = serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(report["plugin"], "c-headers");
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
