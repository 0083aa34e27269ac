//! The steps of a test: its callbacks, their order, and its end.

use super::backend;
use crate::suite::{Case, fails, logged, result};

/// All callbacks run in a fixed order, whatever the suite's; those without an invocation do not run, and `on_log` never
/// does.
#[super::compiler]
#[test]
fn the_order_of_callbacks() {
    let text = "test { name: 't' response_body {} request_body {} response_headers {} request_headers {} }";
    let case = Case::new(backend(), &[], text).log_to("log");
    assert_eq!(case.run()[0].failures, []);
    let log = std::fs::read_to_string(case.path("log")).unwrap();
    let callbacks: Vec<&str> = log.lines().filter(|line| line.starts_with("on_")).collect();
    assert_eq!(
        callbacks,
        [
            "on_context_create(1 0)",
            "on_vm_start(1 0)",
            "on_configure(1 0)",
            "on_context_create(2 1)",
            "on_request_headers(2 0 0)",
            "on_request_body(2 0 1)",
            "on_response_headers(2 0 0)",
            "on_response_body(2 0 1)",
            "on_done(2)",
            "on_delete(2)",
            "on_done(1)",
            "on_delete(1)",
        ]
    );
    let result = result(backend(), &[], "response_body {}");
    let phases: Vec<_> = result.observed.iter().map(|step| step.phase).collect();
    assert_eq!(phases, ["plugin_init", "stream_init", "response_body", "stream_destroy"]);
}

/// Each test has a separate VM.
#[super::compiler]
#[test]
fn a_new_vm_for_each_test() {
    // The probe counts in a static variable, and traps on the second call.
    let script = ["on_request_headers|trap_at 2"];
    let case = Case::new(backend(), &script, "test { name: 'a' request_headers {} } test { name: 'a' request_headers {} }");
    let results = case.run();
    assert!(results.iter().all(|result| result.passed() && result.name == "a"), "{results:?}");
    assert_eq!(results[0].id(), format!("Test_{}.a", case.runner().engine()));
}

/// A plugin that refuses to start.
#[super::compiler]
#[test]
fn false_from_a_start_callback() {
    fails(backend(), &["on_vm_start|return 0"], "request_headers {}", "[plugin_init] Plugin.start failed");
    fails(backend(), &["on_configure|return 0"], "request_headers {}", "[plugin_init] Plugin.configure failed");
    // The result of `on_done` has no effect, for a stream or for a root.
    let result = result(backend(), &["on_done|return 0"], "");
    assert_eq!((result.failures, logged_end(&result.observed)), (vec![], 2));
}

fn logged_end(observed: &[dynvm_suite::Observed]) -> usize {
    observed.last().unwrap().log.len()
}

/// A crash ends the test, with the log before it; a mismatch does not.
#[super::compiler]
#[test]
fn failures() {
    for (callback, phase) in [
        ("on_context_create", "plugin_init"),
        ("on_configure", "plugin_init"),
        ("on_request_headers", "request_headers"),
        ("on_request_body", "request_body"),
        ("on_delete", "stream_destroy"),
    ] {
        let trap = format!("{callback}|trap");
        let result = result(
            backend(),
            &[&trap],
            "request_headers {} request_body {} response_headers { result { has_header { key: 'x' } } }",
        );
        let fatal: Vec<_> = result.failures.iter().filter(|failure| failure.message.contains("fail")).collect();
        assert_eq!(fatal.len(), 1, "{callback}: {:?}", result.failures);
        assert_eq!(fatal[0].phase, phase, "{callback}");
        assert!(fatal[0].message.contains(callback), "{}", fatal[0].message);
        let later = result.failures.iter().any(|failure| failure.phase == "response_headers");
        assert_eq!(later, callback == "on_delete", "{callback}");
    }
    let both = result(
        backend(),
        &[],
        "request_headers { result { has_header { key: 'x' } no_header { key: 'y' } log { exact: 'z' } } } response_body { result { body { exact: 'a' } } }",
    );
    let phases: Vec<_> = both.failures.iter().map(|failure| failure.phase).collect();
    assert_eq!(phases, ["request_headers", "request_headers", "response_body"]);
    assert!(!logged(&both, "stream_destroy").is_empty());
}

/// The files of `env` are relative to the current directory; a missing one stops the run before the first test.
#[super::compiler]
#[test]
fn files_of_the_environment() {
    let case = Case::new(backend(), &[], "test { name: 't' }");
    let mut suite = case.suite().clone();
    let module = || harness::probe(backend(), &[]);
    suite.env.config = Some("no/such/file".into());
    let error = dynvm_suite::Runner::new(&suite, module()).err().unwrap().to_string();
    assert!(error.contains("no/such/file: cannot be read"), "{error}");
    suite.env.config = None;
    suite.env.log_file = Some("no/such/log".into());
    let error = dynvm_suite::Runner::new(&suite, module()).err().unwrap().to_string();
    assert!(error.contains("no/such/log: cannot be written"), "{error}");
}
