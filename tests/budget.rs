//! Callbacks that exceed their budget: reported while they run, and stopped on request where stopping is sound.

use std::time::{Duration, Instant};

use dynvm::{CallbackBudget, FailureKind, Module, VmConfig};
use harness::{Backend, Harness, TestStream, compile, loader};

/// Long enough that a busy machine does not exceed it by accident, and much shorter than the second for which the
/// plugin spins or sleeps.
const BUDGET: Duration = Duration::from_millis(250);

fn with_budget(budget: CallbackBudget) -> VmConfig {
    let mut config = VmConfig::default();
    config.callback_budget = Some(budget);
    config
}

/// Sends a request to a plugin with this behavior, and returns the VM.
fn request(module: &Module, config: VmConfig, how: &str) -> Harness {
    let mut harness = Harness::of(module, config, how);
    let stream = harness.stream(TestStream::with_headers([(":path", "/")]));
    harness.vm.on_request_headers(stream, 1, true);
    harness
}

fn native() -> Module {
    loader().load_file(compile::plugin(Backend::Native, "crash.cc", &[])).unwrap()
}

fn is_reported(log: &[String], what: &str) -> bool {
    log.iter().any(|line| line.contains("has been in proxy_on_request_headers for") && line.contains(what))
}

#[needs::cxx]
#[test]
fn what_keeps_to_it_is_left_alone() {
    let harness = request(&native(), with_budget(CallbackBudget::fail(BUDGET)), "");
    std::thread::sleep(BUDGET * 2);
    assert!(!harness.vm.has_failed() && !is_reported(&harness.log(), ""));
}

#[needs::cxx]
#[test]
fn an_overrun_is_reported_while_it_runs() {
    let started = Instant::now();
    let harness = request(&native(), with_budget(CallbackBudget::report(BUDGET)), "busy");
    assert!(started.elapsed() >= Duration::from_millis(750), "it ran to its end");
    assert!(!harness.vm.has_failed());
    let log = harness.log();
    assert!(is_reported(&log, "(anonymous namespace)::busy"), "with the stack: {log:?}");
    let end = log.iter().position(|line| line == "done at last").expect("the plugin said so");
    assert!(log[..end].iter().any(|line| line.contains("its budget is 250 ms")), "before it ended: {log:?}");
    assert_eq!(log.iter().filter(|line| line.contains("its budget is")).count(), 1, "once: {log:?}");
}

#[needs::cxx]
#[test]
fn native_code_is_stopped() {
    let module = native();
    for _ in 0..5 {
        let harness = request(&module, with_budget(CallbackBudget::fail(BUDGET)), "spin");
        let failure = harness.vm.failure().expect("the VM has failed");
        assert_eq!(failure.kind, FailureKind::Limit);
        assert!(failure.message.contains("callback_budget") && failure.message.contains("spin"), "{failure}");
    }
    // The thread continues.
    assert!(!request(&module, VmConfig::default(), "").vm.has_failed());
}

/// A callback inside a library, which may hold a lock, is stopped once the library has returned.
#[needs::cxx]
#[test]
fn a_library_is_not_interrupted() {
    let started = Instant::now();
    let harness = request(&native(), with_budget(CallbackBudget::fail(BUDGET)), "sleep");
    assert!(started.elapsed() >= Duration::from_millis(950), "it slept to the end");
    assert_eq!(harness.vm.failure().map(|failure| failure.kind), Some(FailureKind::Limit));
    let log = harness.log();
    assert!(is_reported(&log, "in a hostcall or in a library"), "{log:?}");
}

/// Loops that the watchdog meets mostly outside the image: in hostcalls, and in functions of the C library that hold nothing.
#[needs::cxx]
#[test]
fn loops_of_calls_are_stopped() {
    let module = native();
    for how in ["loop of hostcalls", "loop of memcpy"] {
        let harness = request(&module, with_budget(CallbackBudget::fail(BUDGET)), how);
        let failure = harness.vm.failure().unwrap_or_else(|| panic!("{how}: it ran to its end"));
        assert_eq!(failure.kind, FailureKind::Limit, "{how}: {failure}");
        assert!(failure.message.contains("callback_budget"), "{how}: {failure}");
    }
}

/// Constructors, and destructors of thread-local variables and statics, have the budget of a callback.
#[needs::cxx]
#[test]
fn starting_and_ending_have_a_budget() {
    let load = |define| loader().load_file(compile::plugin(Backend::Native, "crash.cc", &[define])).unwrap();
    let vm = dynvm::Vm::builder(&load("SPIN_IN_CONSTRUCTOR")).config(with_budget(CallbackBudget::fail(BUDGET))).build();
    let error = dynvm::with_causes(&vm.map(|_| ()).unwrap_err());
    assert!(error.contains("callback_budget"), "{error}");
    let harness = request(&load("SPIN_IN_DESTRUCTOR"), with_budget(CallbackBudget::fail(BUDGET)), "");
    let log = harness.log.clone();
    assert!(!harness.vm.has_failed());
    drop(harness);
    let log = harness::lines(&log);
    assert!(
        log.iter().any(|line| line.contains("failed in a destructor") && line.contains("callback_budget")),
        "{log:?}"
    );
}

#[cfg(feature = "wasm")]
#[needs::wasm_clang]
#[test]
fn wasm_is_stopped_where_it_can_be() {
    let wasm = compile::plugin(Backend::Wasm, "probe.c", &[]);
    let limit = dynvm::wasm::CpuLimit::Time(Duration::from_secs(60));
    let timed = harness::loader_with(|options| options.wasm.cpu_limit = limit);
    let started = Instant::now();
    let config = with_budget(CallbackBudget::fail(BUDGET));
    let harness = request(&timed.load_file(wasm).unwrap(), config, &harness::in_headers(&["spin"]));
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(harness.vm.failure().map(|failure| failure.kind), Some(FailureKind::Limit));
}
