//! `dynvm ab --envoy` with a real Envoy, and without one.
//!
//! The module takes part where `libdynvm_envoy.so` is beside the tool or beside this test, as cargo leaves it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const PLUGINS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/plugins");

fn ab(plugin: &[PathBuf], arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynvm"));
    command.arg("ab").args(plugin).args(arguments);
    let module = std::env::current_exe().unwrap().with_file_name("libdynvm_envoy.so");
    if module.is_file() {
        command.arg("--module").arg(module);
    }
    command
}

fn envoy() -> String {
    std::env::var("DYNVM_ENVOY").expect("DYNVM_ENVOY names an Envoy")
}

fn run(mut command: Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Both builds of an example.
fn built(plugin: &str, dir: &Path) -> Vec<PathBuf> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynvm"));
    command.arg("build").arg(format!("{PLUGINS}/{plugin}")).arg("--out-dir").arg(dir);
    let (code, _, err) = run(command);
    assert_eq!(code, Some(0), "{err}");
    ["so", "wasm"].map(|end| dir.join(format!("{plugin}.{end}"))).to_vec()
}

#[needs::wasm_rust]
#[needs::envoy]
#[test]
fn setups_are_compared_and_measured() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = built("header-rewrite", dir.path());
    let scenario = format!("{PLUGINS}/header-rewrite/scenario.json");
    let envoy = envoy();
    let arguments =
        ["--scenario", &scenario, "--envoy", &envoy, "--duration", "0.1", "--generate", "20", "--format", "json"];
    let (code, out, err) = run(ab(&plugin, &arguments));
    assert_eq!(code, Some(0), "{out}\n{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let envoy = &report["envoy"];
    assert_eq!(envoy["differences"], serde_json::json!([]), "{envoy:#}");
    let setups = envoy["setups"].as_array().unwrap();
    let names: Vec<&str> = setups.iter().map(|setup| setup["setup"].as_str().unwrap()).collect();
    let all = ["no_filter", "v8", "module_native", "module_wasm"];
    assert_eq!(names, all[..if envoy["module"].is_null() { 2 } else { 4 }]);
    for setup in setups {
        assert!(setup["requests"].as_u64() > Some(0) && setup["cpu_ns"]["value"].as_f64() > Some(0.0), "{setup:#}");
        assert!(setup["memory_bytes"].as_u64() > Some(1 << 20) && setup["ready_ns"].as_u64() > Some(0), "{setup:#}");
    }
}

#[needs::wasm_rust]
#[needs::envoy]
#[test]
fn an_envoy_that_ends_is_reported_with_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = built("header-rewrite", dir.path());
    // The simulated proxy takes any names of calls; an Envoy has one cluster of a name.
    let scenario = dir.path().join("scenario.json");
    let text = r#"{"plugin": {"configuration": {}}, "http_calls": [{"upstream": "dynvm_trial_upstream"}],
                   "steps": [{"request": {}}]}"#;
    std::fs::write(&scenario, text).unwrap();
    let envoy = envoy();
    let scenario = scenario.to_str().unwrap();
    let (code, out, err) = run(ab(&plugin, &["--scenario", scenario, "--envoy", &envoy, "--duration", "0.1"]));
    assert_eq!(code, Some(3), "{out}\n{err}");
    assert!(err.contains("Envoy ended") && err.contains("dynvm_trial_upstream"), "{err}");
    let kept = err.split("The files of this Envoy are in ").nth(1).expect("the folder is named").trim();
    assert!(Path::new(kept).is_dir(), "{kept}");
    std::fs::remove_dir_all(kept).unwrap();
}

#[test]
fn what_is_no_envoy_is_refused_before_anything_is_built() {
    let plugin = [PathBuf::from(format!("{PLUGINS}/header-rewrite"))];
    for (envoy, expected) in [("/bin/true", "/bin/true is not an Envoy"), ("/no/envoy", "/no/envoy cannot be run")] {
        let (code, _, err) = run(ab(&plugin, &["--envoy", envoy]));
        assert_eq!(code, Some(2), "{err}");
        assert!(err.contains(expected), "{err}");
    }
}

/// The processes whose command line has a text.
fn processes(text: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(text)).count()
}

#[needs::wasm_rust]
#[needs::envoy]
#[test]
fn a_signal_ends_every_envoy() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = built("header-rewrite", dir.path());
    let envoy = envoy();
    // Envoy's files are in the temporary directory, by whose name its processes are known.
    let temporary = dir.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let place = temporary.to_str().unwrap().to_owned();
    let mut command = ab(&plugin, &["--envoy", &envoy, "--duration", "600"]);
    let mut tool = command.env("TMPDIR", &temporary).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let wait = |what: &str, is: &mut dyn FnMut() -> bool| {
        let start = Instant::now();
        while !is() {
            assert!(start.elapsed() < Duration::from_secs(120), "{what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait("an Envoy starts", &mut || processes(&place) > 0);
    // The shell's: a bare Debian has no program of this name.
    let kill = Command::new("sh").args(["-c", &format!("kill -INT {}", tool.id())]).status().unwrap();
    assert!(kill.success());
    wait("the tool ends", &mut || tool.try_wait().unwrap().is_some());
    let status = tool.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(2), "{status}");
    assert_eq!(processes(&place), 0, "nothing of it is left");
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "nor a file");
}
