//! `dynvm test`: suites of examples on both builds, and what the command does around them.

use std::path::{Path, PathBuf};
use std::process::Command;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/plugins").join(name)
}

/// Runs a command in a directory: exit code, standard output, standard error.
fn dynvm(dir: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynvm"));
    let output = command.current_dir(dir).env("NO_COLOR", "1").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn passing(name: &str, arguments: &[&str]) -> serde_json::Value {
    let json = ["test", "--plugin", ".", "--config", "tests.config", "--format", "json", "--bench-time", "0.05"];
    let (code, out, err) = dynvm(&example(name), &[&json, arguments].concat());
    assert_eq!(code, Some(0), "{out}\n{err}");
    serde_json::from_str(&out).unwrap()
}

#[needs::wasm_rust]
#[test]
fn suites_of_examples_on_both_builds() {
    for (name, suite, tests) in
        [("header-rewrite", ["--proto", "tests.textpb"], 2), ("jwt-auth", ["--yaml", "tests.yaml"], 3)]
    {
        let report = passing(name, &suite);
        assert_eq!((&report["verdict"], &report["differences"]), (&"passed".into(), &serde_json::json!([])));
        assert_eq!(report["tests"].as_array().unwrap().len(), 2 * tests, "{report}");
        let engines = report["tests"].as_array().unwrap().iter().map(|test| test["engine"].as_str().unwrap());
        assert_eq!(engines.filter(|engine| *engine == "native").count(), tests);
        let benchmarks = report["benchmarks"].as_array().unwrap();
        let names: Vec<_> = benchmarks.iter().map(|bench| bench["name"].as_str().unwrap()).collect();
        assert_eq!(names[..2], ["PluginLifecycle", "StreamLifecycle"]);
        for bench in benchmarks {
            assert!(bench["ratio_median"].as_f64().unwrap() > 0.0, "{bench}");
            for engine in ["native", "wasm"] {
                assert!(bench[engine]["rounds"].as_u64().unwrap() > 0, "{bench}");
                assert!(bench[engine]["artifact_size_bytes"].as_u64().unwrap() > 0, "{bench}");
            }
        }
    }
}

#[needs::wasm_rust]
#[test]
fn only_tests_or_only_benchmarks() {
    let suite = ["--proto", "tests.textpb"];
    for none in ["--nobench", "--bench=false"] {
        let report = passing("header-rewrite", &[&suite[..], &[none, "--filter=Adds*"]].concat());
        assert_eq!(report["benchmarks"], serde_json::json!([]));
        assert_eq!(report["tests"].as_array().unwrap().len(), 2);
    }
    for none in ["--notest", "--test=false"] {
        let more =
            [none, "--filter", "Bench_wasm.*", "--num_additional_streams", "5", "--additional_stream_advance_rate=2"];
        let report = passing("header-rewrite", &[&suite[..], &more].concat());
        assert_eq!(report["tests"], serde_json::json!([]));
        let benchmarks = report["benchmarks"].as_array().unwrap();
        assert_eq!(benchmarks.len(), 3);
        assert!(benchmarks.iter().all(|bench| bench.get("native").is_none() && bench.get("wasm").is_some()));
    }
}

/// A fat plugin is both builds; the log and JUnit's XML are written; a policy decides.
#[needs::wasm_rust]
#[test]
fn a_fat_plugin() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, err) = dynvm(&example("header-rewrite"), &["build", ".", "--out-dir", dir.path().to_str().unwrap()]);
    assert_eq!(code, Some(0), "{err}");
    let machine = std::env::consts::ARCH;
    let image = format!("{machine}=header-rewrite.so");
    let (code, _, err) = dynvm(dir.path(), &["bundle", "header-rewrite.wasm", &image, "-o", "fat.wasm"]);
    assert_eq!(code, Some(0), "{err}");
    std::fs::write(
        dir.path().join("suite.textpb"),
        r#"env { wasm_path: "fat.wasm" }
           test { name: "a" request_headers {} } test { name: "b" request_headers { result { has_header { key: "none" } } } }"#,
    )
    .unwrap();
    let suite = ["test", "--proto", "suite.textpb", "--logfile", "log", "--loglevel", "trace", "--config", ""];
    let (code, out, err) = dynvm(dir.path(), &[&suite[..], &["--junit", "junit.xml"]].concat());
    assert_eq!((code, err.as_str()), (Some(1), "ABORTED: tests failed\n"), "{out}");
    for part in [
        "ok   Test_native.a",
        "ok   Test_wasm.a",
        "FAIL Test_native.b",
        "FAIL Test_wasm.b",
        "-> proxy_on_request_headers(",
    ] {
        assert!(out.contains(part), "{part} is in {out}");
    }
    assert!(out.contains("native: 1 of 2 tests passed, wasm: 1 of 2 tests passed"), "{out}");
    let xml = std::fs::read_to_string(dir.path().join("junit.xml")).unwrap();
    assert!(xml.contains("tests=\"4\" failures=\"2\""), "{xml}");
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    assert_eq!(log.matches("--- Starting test: a ---\n").count(), 2, "{log}");

    std::fs::write(dir.path().join("wasm.toml"), "[wasm]\nallow = true\n").unwrap();
    let named = ["test", "--proto", "suite.textpb", "--policy", "wasm.toml", "--plugin", "header-rewrite.so"];
    let (code, _, err) = dynvm(dir.path(), &named);
    assert_eq!(code, Some(3), "{err}");
    let part = ["test", "--proto", "suite.textpb", "--policy", "wasm.toml", "--filter", "a"];
    let (code, out, err) = dynvm(dir.path(), &part);
    assert_eq!((code, out.as_str()), (Some(0), "ok   Test_wasm.a\nwasm: 1 of 1 tests passed\n"), "{err}");
    let two = ["test", "--proto", "suite.textpb", "--plugin", "header-rewrite.so", "--plugin", "fat.wasm"];
    let (code, _, err) = dynvm(dir.path(), &two);
    assert_eq!(code, Some(2));
    assert!(err.contains("are both native; name at most one native and one wasm build"), "{err}");
}

/// Builds whose log messages differ: a note, unless a rule declares that difference.
#[needs::wasm_clang]
#[test]
fn declared_differences_are_selected() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = r#"
        #include <dynvm/hostcalls.h>
        DYNVM_CALLBACK(proxy_abi_version_0_2_1) void proxy_abi_version_0_2_1(void) {}
        DYNVM_CALLBACK(proxy_on_request_headers) uint32_t proxy_on_request_headers(uint32_t stream, size_t headers, uint32_t end) {
          (void)stream, (void)headers, (void)end;
        #ifdef __wasm__
          proxy_log(PROXY_LOG_LEVEL_INFO, DYNVM_LITERAL("took 5 us"));
        #else
          proxy_log(PROXY_LOG_LEVEL_INFO, DYNVM_LITERAL("took 3 us"));
        #endif
          return 0;
        }"#;
    let suite = r#"test { name: "one" request_headers { input { content: "GET / HTTP/1.1" } result { has_header { key: ":path" value: "/" } } } }"#;
    std::fs::write(dir.path().join("logs.c"), plugin).unwrap();
    std::fs::write(dir.path().join("tests.textpb"), suite).unwrap();
    let (code, out, err) = dynvm(dir.path(), &["build", "logs.c", "--out-dir", ".", "--target-dir", "build"]);
    assert_eq!(code, Some(0), "{out}\n{err}");
    let run = |more: &[&str]| {
        let fixed = ["test", "--proto", "tests.textpb", "--plugin", "logs.so", "--plugin", "logs.wasm", "--nobench"];
        dynvm(dir.path(), &[&fixed[..], more].concat())
    };
    let report = |more: &[&str]| {
        let (code, out, err) = run(&[&["--format", "json"], more].concat());
        assert_eq!(code, Some(0), "{out}\n{err}");
        let report: serde_json::Value = serde_json::from_str(&out).unwrap();
        (report["differences"].as_array().unwrap().len(), report["rules"].clone())
    };
    assert_eq!(report(&[]), (1, serde_json::json!([])));
    for allow in [&["--allow", "log-text"][..], &["--strict", "--allow", "log-text"]] {
        let (differences, rules) = report(allow);
        assert_eq!((differences, &rules[0]["rule"], &rules[0]["count"]), (0, &"log-text".into(), &1.into()), "{rules}");
    }
    let (_, out, _) = run(&["--allow", "log-text"]);
    assert!(out.contains("ignored 1 times: the text of log messages (log-text, declared as \"clock\")"), "{out}");
    let (code, _, err) = run(&["--allow", "log"]);
    assert!(code == Some(2) && err.contains("invalid value 'log' for '--allow <NAME>'"), "{err}");
}
