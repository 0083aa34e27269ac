//! Plugins that only the system's loader can map (`native::Loading::System`): each works in that way, and is refused by this loader with the
//! reason and this remedy.

use std::path::{Path, PathBuf};
use std::process::Command;

use dynvm::native::{Loading, Options};
use dynvm::{Loader, Module, VmConfig, with_causes};
use harness::{Backend, Harness, TestStream, compile, in_headers, loader, loader_with};

/// A loader that leaves plugins to the system's.
fn plain() -> Loader {
    loader_with(|options| options.native = Some(Options::default().loading(Loading::System)))
}

/// The log of one stream.
fn log_of_a_stream(harness: &mut Harness) -> Vec<String> {
    harness.log();
    let stream = harness.stream(TestStream::default());
    harness.vm.on_request_headers(stream, 0, true);
    harness.vm.delete_stream(stream);
    assert!(!harness.vm.has_failed(), "{:?}", harness.vm.failure());
    harness.log()
}

/// The refusal of this loader, which has the other way as a remedy, and which inspections have too.
#[track_caller]
fn refused(path: &Path, expected: &str) {
    let message = with_causes(&loader().load_file(path).map(|_| ()).unwrap_err());
    assert!(message.contains(expected) && message.contains("(native::Loading::System)"), "{message}");
    let inspection = dynvm::inspect::inspect_file(&loader(), path).unwrap();
    assert_eq!(inspection.refusal, Some(message));
}

fn only_vm(module: &Module) -> Harness {
    let harness = Harness::of(module, VmConfig::default(), "");
    assert!(harness.vm.uncontained().unwrap().contains("the system's loader maps it"));
    assert_eq!(harness.log().len(), 1, "which is logged");
    harness
}

/// Go has a runtime of its own: threads, stacks, signal handlers. It cannot be unloaded.
#[needs::go]
#[test]
fn go() {
    let plugin = go_plugin();
    refused(&plugin, "it starts threads (pthread_create) and uses thread-local storage of the initial-exec model");
    let module = plain().load_file(&plugin).unwrap();
    let mut harness = only_vm(&module);
    for stream in 1..=3 {
        let recovered = "recovered from: runtime error: invalid memory address or nil pointer dereference";
        assert_eq!(log_of_a_stream(&mut harness), [format!("stream {stream}"), recovered.to_owned()]);
    }
    drop(harness);
    let second = dynvm::Vm::builder(&module).build().map(|_| ()).unwrap_err().to_string();
    assert!(second.contains("cannot be unloaded"), "{second}");
}

fn go_plugin() -> PathBuf {
    let dir = compile::output_dir().join("go");
    let plugin = dir.join(format!("go-{}.so", std::process::id()));
    let mut go = Command::new("go");
    go.args(["build", "-buildmode=c-shared", "-o"]).arg(&plugin).arg("main.go");
    go.current_dir(compile::tests_dir().join("plugins/go"));
    go.envs([("GO111MODULE", "off"), ("GOFLAGS", ""), ("CGO_ENABLED", "1")]).env("GOCACHE", dir.join("cache"));
    let output = go.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    plugin
}

#[needs::cc]
#[test]
fn static_tls_and_threads() {
    let plugin = compile::plugin(Backend::Native, "static-tls.c", &[]);
    refused(&plugin, "it starts threads (pthread_create) and uses thread-local storage of the initial-exec model");
    let mut harness = only_vm(&plain().load_file(&plugin).unwrap());
    for stream in 11..14 {
        assert_eq!(log_of_a_stream(&mut harness), [format!("here {stream}, in a thread 10")]);
    }
}

/// In a process that was started with the sanitizer's runtime, the plugin works; in any other it would end the process.
#[needs::asan]
#[test]
fn a_sanitizer_build() {
    const PLUGIN: &str = "DYNVM_TEST_SANITIZED";
    if let Some(plugin) = std::env::var_os(PLUGIN) {
        let script = in_headers(&["proxy_get_header_map_value 0 k"]);
        let mut harness = Harness::of(&plain().load_file(plugin).unwrap(), VmConfig::default(), &script);
        assert_eq!(harness.did(TestStream::with_headers([("k", "v")])), ["proxy_get_header_map_value = 0 v"]);
        return;
    }
    let plugin = compile::output_dir().join(format!("asan-{}.so", std::process::id()));
    let mut cc = compile::cc();
    cc.args(["-shared", "-fPIC", "-fsanitize=address", "-I", dynvm::abi::INCLUDE_DIR, "-o"]).arg(&plugin);
    assert!(cc.arg(compile::tests_dir().join("plugins/probe.c")).status().unwrap().success());
    refused(&plugin, "start the process with LD_PRELOAD=libasan.so");
    let message = with_causes(&plain().load_file(&plugin).map(|_| ()).unwrap_err());
    assert!(message.contains("start the process with LD_PRELOAD=libasan.so"), "{message}");
    let runtime = compile::cc().arg("-print-file-name=libasan.so").output().unwrap().stdout;
    let mut again = needs::this_program!();
    again.args(["--exact", "a_sanitizer_build"]).env(PLUGIN, &plugin);
    again.env("LD_PRELOAD", String::from_utf8(runtime).unwrap().trim()).env("ASAN_OPTIONS", "detect_leaks=0");
    let output = again.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
