//! Callbacks that take longer than their budget: reported while they run, and stopped where that is asked for and sound.

#[path = "checklist/compile.rs"]
mod compile;
#[allow(dead_code, reason = "shared with the checklist, which uses all of it")]
#[path = "checklist/rig.rs"]
mod rig;

use std::time::{Duration, Instant};

use dynvm::{CallbackBudget, CpuLimit, FailureKind, Module, VmConfig};
use rig::{Backend, Rig, TestStream, loader, loader_with};

const BUDGET: Duration = Duration::from_millis(40);

fn with_budget(budget: CallbackBudget) -> VmConfig {
    let mut config = VmConfig::default();
    config.callback_budget = Some(budget);
    config
}

/// A request to a plugin that does this: the VM afterwards.
fn request(module: &Module, config: VmConfig, how: &str) -> Rig {
    let mut rig = Rig::of(module, config, how);
    let stream = rig.stream(TestStream::with_headers([(":path", "/")]));
    rig.vm.on_request_headers(stream, 1, true);
    rig
}

fn native() -> Module {
    loader().load_file(compile::plugin(Backend::Native, "crash.cc", &[])).unwrap()
}

fn is_reported(log: &[String], what: &str) -> bool {
    log.iter().any(|line| line.contains("has been in proxy_on_request_headers for") && line.contains(what))
}

#[test]
fn what_keeps_to_it_is_left_alone() {
    let rig = request(&native(), with_budget(CallbackBudget::fail(BUDGET)), "");
    std::thread::sleep(BUDGET * 3);
    assert!(!rig.vm.has_failed() && !is_reported(&rig.log(), ""));
}

#[test]
fn an_overrun_is_reported_while_it_runs() {
    let started = Instant::now();
    let rig = request(&native(), with_budget(CallbackBudget::report(BUDGET)), "busy");
    assert!(started.elapsed() >= Duration::from_millis(300), "it ran to its end");
    assert!(!rig.vm.has_failed());
    let log = rig.log();
    assert!(is_reported(&log, "(anonymous namespace)::busy"), "with the stack: {log:?}");
    let end = log.iter().position(|line| line == "done at last").expect("the plugin said so");
    assert!(log[..end].iter().any(|line| line.contains("its budget is 40 ms")), "before it ended: {log:?}");
    assert_eq!(log.iter().filter(|line| line.contains("its budget is")).count(), 1, "once: {log:?}");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn native_code_is_stopped() {
    let module = native();
    for _ in 0..5 {
        let rig = request(&module, with_budget(CallbackBudget::fail(BUDGET)), "spin");
        let failure = rig.vm.failure().expect("the VM has failed");
        assert_eq!(failure.kind, FailureKind::Limit);
        assert!(failure.message.contains("callback_budget") && failure.message.contains("spin"), "{failure}");
    }
    // And the thread goes on.
    assert!(!request(&module, VmConfig::default(), "").vm.has_failed());
}

/// In a library, which may hold a lock, it is not stopped.
#[test]
#[cfg(target_arch = "x86_64")]
fn a_library_is_not_interrupted() {
    let rig = request(&native(), with_budget(CallbackBudget::fail(BUDGET)), "sleep");
    assert!(!rig.vm.has_failed());
    let log = rig.log();
    assert!(is_reported(&log, "in a hostcall or in a library"), "{log:?}");
}

#[test]
fn wasm_is_stopped_where_it_can_be() {
    let wasm = compile::plugin(Backend::Wasm, "probe.c", &[]);
    let timed = loader_with(|options| options.wasm.cpu_limit = CpuLimit::Time(Duration::from_secs(60)));
    let started = Instant::now();
    let config = with_budget(CallbackBudget::fail(BUDGET));
    let rig = request(&timed.load_file(wasm).unwrap(), config, &rig::in_headers(&["spin"]));
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(rig.vm.failure().map(|failure| failure.kind), Some(FailureKind::Limit));
}
