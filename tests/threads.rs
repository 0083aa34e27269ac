//! Hostcalls on threads that a native plugin starts.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use dynvm::{Module, VmConfig};
use harness::{Backend, Harness, Parts, TestStream, compile, loader, parts};

/// Runs streams until the log of the plugin says so.
fn streams_until(harness: &mut Harness, log: &mut Vec<String>, said: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    while !log.iter().any(|line| line.contains(said)) {
        assert!(Instant::now() < end, "{said} is not in {log:?}");
        let stream = harness.stream(TestStream::with_headers([(":path", "/")]));
        harness.vm.on_request_headers(stream, 1, true);
        harness.vm.delete_stream(stream);
        assert!(!harness.vm.has_failed(), "{:?}", harness.vm.failure());
        log.extend(harness.log());
    }
}

fn started(module: &Module, parts: Parts, configuration: &str) -> Harness {
    Harness::with(parts, module, VmConfig::default(), configuration).unwrap_or_else(|(error, _)| panic!("{error}"))
}

#[needs::cc]
#[test]
fn a_thread_works_beside_streams_until_its_vm_ends() {
    let module = loader().load_file(compile::plugin(Backend::Native, "threads.c", &["_GNU_SOURCE"])).unwrap();
    let report = compile::output_dir().join(format!("threads-{}.txt", std::process::id()));
    let parts = parts();
    let (metrics, queues) = (parts.services.metrics.clone(), parts.services.shared_queues.clone());
    let mut harness = started(&module, parts, report.to_str().unwrap());
    let mut log = Vec::new();
    streams_until(&mut harness, &mut log, "from a thread");
    let work = metrics.define(dynvm::abi::types::MetricType::Counter, b"work");
    let end = Instant::now() + Duration::from_secs(60);
    while metrics.get(work).unwrap() < 1000 {
        assert!(Instant::now() < end, "the thread counts");
        streams_until(&mut harness, &mut Vec::new(), "a stream");
    }
    let queue = queues.resolve("", b"jobs").unwrap();
    assert_eq!(queues.dequeue(queue).as_deref(), Ok(&b"job"[..]));
    let kept = harness.log.clone();
    drop(harness);
    let counted = metrics.get(work).unwrap();
    let report = read_when_there(&report);
    assert_eq!(metrics.get(work).unwrap(), counted, "no hostcall after the end of the VM");
    assert!(!harness::lines(&kept).iter().any(|line| line.contains("lost") || line.contains("late")));
    let expected = "without log 0, without time 10, no context 1, foreign time 10, the context 1, log 0, time 0, set 0, get 0, \
                    value 1, resolve 0, same 1, bad pointer 6, header 10, tick 10, done 10, late log 0, late time 10, \
                    late context 0";
    assert_eq!(report.lines().collect::<Vec<_>>().join(", "), expected);
}

fn read_when_there(path: &Path) -> String {
    let end = Instant::now() + Duration::from_secs(60);
    while !path.exists() {
        assert!(Instant::now() < end, "{} is not there", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::remove_file(path).unwrap();
    text
}

/// A VM may end at any moment of its thread.
#[needs::cc]
#[test]
fn many_vms_end_while_their_threads_work() {
    let module = loader().load_file(compile::plugin(Backend::Native, "threads.c", &["_GNU_SOURCE"])).unwrap();
    for round in 0..50 {
        let report = compile::output_dir().join(format!("threads-{}-{round}.txt", std::process::id()));
        let harness = started(&module, parts(), report.to_str().unwrap());
        std::thread::sleep(Duration::from_micros(100 * round));
        drop(harness);
        let report = read_when_there(&report);
        assert!(report.ends_with("late log 0\nlate time 10\nlate context 0\n"), "{report}");
    }
}

#[cfg(feature = "wasm")]
#[test]
fn wasm_has_no_threads() {
    let module = "(module (import \"env\" \"proxy_dyn_get_thread_context\" (func (result i32))) \
                  (func (export \"proxy_abi_version_0_2_1\")))";
    let error = loader().load_bytes("threads.wasm", &wat::parse_str(module).unwrap()).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("proxy_dyn_get_thread_context (only native plugins"), "{error}");
}

/// For native plugins these are hostcalls as others.
#[needs::cc]
#[test]
fn inspection_knows_them() {
    let plugin = compile::plugin(Backend::Native, "threads.c", &["_GNU_SOURCE"]);
    let inspection = dynvm::inspect::inspect_file(&loader(), &plugin).unwrap();
    assert!(inspection.hostcalls.iter().any(|hostcall| hostcall.name == "proxy_dyn_get_thread_context"));
    assert!(inspection.hostcalls.iter().all(|hostcall| hostcall.problem.is_none()), "{:?}", inspection.hostcalls);
}

/// The plugin on `proxy-sdk`, unchanged.
#[needs::protoc]
#[test]
fn a_plugin_on_proxy_sdk() {
    let parts = parts();
    let (metrics, queues) = (parts.services.metrics.clone(), parts.services.shared_queues.clone());
    let module = loader().load_file(sdk_threads()).unwrap();
    let mut harness = started(&module, parts, "");
    let mut log = Vec::new();
    streams_until(&mut harness, &mut log, "the thread has ended: true");
    assert!(log.iter().any(|line| line == "from a thread") && log.iter().any(|line| line == "counted 1000"), "{log:?}");
    let work = metrics.define(dynvm::abi::types::MetricType::Counter, b"work");
    assert_eq!(metrics.get(work), Ok(1000));
    let queue = queues.resolve("", b"jobs").unwrap();
    let jobs = (0..1000).map(|job| format!("job {job}").into_bytes());
    assert!(jobs.map(Ok).eq((0..1000).map(|_| queues.dequeue(queue))), "in order");
    assert!(queues.dequeue(queue).is_err());
}

fn sdk_threads() -> PathBuf {
    let target = compile::output_dir().join("sdk-threads");
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--release", "--locked", "--quiet", "--manifest-path"]);
    command.arg(compile::tests_dir().join("plugins/sdk-threads/Cargo.toml")).arg("--target-dir").arg(&target);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    compile::release(&target, "libsdk_threads.so")
}
