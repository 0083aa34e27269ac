//! What is compared, step by step.

use dynvm::Loader;
use dynvm_compare::rules::{Rule, Rules};
use dynvm_differential::align::align;
use dynvm_differential::explain::explain;
use dynvm_differential::lockstep::{Pair, run};
use dynvm_differential::scenario::Scenario;

use crate::plugins::{logs_from, pair, plugin};

fn requests(text: &str) -> Scenario {
    Scenario::parse(&format!(r#"{{"steps": [{text}]}}"#)).unwrap()
}

#[test]
fn the_first_divergence_is_told_with_its_step() {
    let many = r#"{"request": {"headers": {"a": ["1", "2", "3"]}}}"#;
    let scenario = requests(&format!("{{\"request\": {{}}}}, {{\"tick\": 1}}, {many}, {many}"));
    let outcome = run(&pair(&logs_from(7), &logs_from(100)), &scenario, Rules::default()).unwrap();
    let divergence = outcome.divergence.unwrap();
    assert_eq!((divergence.step, outcome.steps), (Some(2), 4));
    assert_eq!(divergence.found.aspect, "call");
    assert!(divergence.found.values[0].contains("proxy_log(level: Info, message: \"many\")"), "{:?}", divergence.found);
    let rows = align(&divergence.lines[0], &divergence.lines[1]);
    let different: Vec<_> = rows.iter().filter(|row| !row.same).collect();
    assert_eq!(different.len(), 1, "one line stands alone: {rows:?}");
    assert!(different[0].wasm.is_none());
}

#[test]
fn what_is_the_same_is_the_same() {
    let scenario = Scenario::standard();
    let outcome = run(&pair(&logs_from(2), &logs_from(2)), &scenario, Rules::strict()).unwrap();
    assert!(outcome.divergence.is_none());
    assert_eq!(outcome.steps, scenario.steps.len() + 1);
}

#[test]
fn log_texts_are_compared_unless_allowed() {
    let loader = Loader::new().unwrap();
    let log = |length: u32| {
        let body = format!("(drop (call $proxy_log (i32.const 2) (i32.const 0) (i32.const {length}))) (i32.const 0)");
        plugin(&loader, "", &body)
    };
    let pair = Pair { native: log(3), wasm: log(4) };
    let scenario = requests("{\"request\": {}}");
    let found = run(&pair, &scenario, Rules::default()).unwrap().divergence.unwrap().found;
    assert_eq!((found.aspect.as_str(), found.values), ("proxy_log, message", ["man".to_owned(), "many".to_owned()]));
    let outcome = run(&pair, &scenario, Rules::default().allow(Rule::LogText)).unwrap();
    assert!(outcome.divergence.is_none());
    assert_eq!(outcome.applied.of(Rule::LogText), 1);
    assert_eq!(outcome.applied.list()[0].rule, "log-text");
}

#[test]
fn only_one_that_fails_is_a_difference() {
    let pair = pair("unreachable", "(i32.const 0)");
    let scenario = requests("{\"request\": {}}");
    let divergence = run(&pair, &scenario, Rules::default()).unwrap().divergence.unwrap();
    assert!(divergence.found.values[0].contains("failed"), "{:?}", divergence.found);
    let explanation = explain(&pair, &scenario, &divergence);
    assert!(explanation.native_repeats && explanation.wasm_repeats && explanation.wasm_repeats_with_other_randomness);
    assert!(explanation.says[0].contains("Only the native build fails"), "{:?}", explanation.says);
}

#[test]
fn failures_alike_pass_by_a_rule() {
    let pair = pair("unreachable", "(i32.div_u (i32.const 1) (i32.const 0))");
    let scenario = requests("{\"request\": {}}, {\"request\": {}}");
    let outcome = run(&pair, &scenario, Rules::default()).unwrap();
    assert!(outcome.divergence.is_none());
    assert!(outcome.applied.of(Rule::FailureText) > 0);
    assert!(outcome.failures.iter().all(Option::is_some));
    let strict = run(&pair, &scenario, Rules::strict()).unwrap().divergence.unwrap();
    assert!(strict.found.aspect.contains("failure"), "{:?}", strict.found);
}

#[test]
fn one_that_does_not_start_is_a_difference() {
    let loader = Loader::new().unwrap();
    let refuses = "(func (export \"proxy_on_configure\") (param i32 i32) (result i32) (i32.const 0))";
    let pair = Pair { native: plugin(&loader, "", "(i32.const 0)"), wasm: plugin(&loader, refuses, "(i32.const 0)") };
    let divergence = run(&pair, &Scenario::standard(), Rules::default()).unwrap().divergence.unwrap();
    assert_eq!((divergence.step, divergence.found.aspect.as_str()), (None, "start of the plugin"));
    let neither = Pair { native: pair.wasm.clone(), wasm: pair.wasm };
    assert!(run(&neither, &Scenario::standard(), Rules::default()).is_err());
}

#[test]
fn a_vm_that_replaces_a_failed_one_is_compared_too() {
    // Each stream is the last of its VM; with the second header more, one of the two logs before it fails.
    let pair = pair("(if (i32.eq (local.get $count) (i32.const 6)) (then (call $log))) unreachable", "unreachable");
    let mut scenario = requests(
        r#"{"request": {}}, {"request": {"headers": {"a": "1"}}}, {"request": {"headers": {"a": ["1", "2"]}}}"#,
    );
    scenario.plugin.failure_policy = Some("FAIL_RELOAD".to_owned());
    let divergence = run(&pair, &scenario, Rules::default()).unwrap().divergence.unwrap();
    assert_eq!(divergence.step, Some(2));
    assert!(divergence.found.values[0].contains("many"), "the log is seen in the third VM: {:?}", divergence.found);
}

#[test]
fn a_stream_that_only_ticks_could_resume_is_given_up() {
    let loader = Loader::new().unwrap();
    let ticks = "(func (export \"proxy_on_configure\") (param i32 i32) (result i32)
        (drop (call $tick (i32.const 100))) (i32.const 1))
        (func (export \"proxy_on_tick\") (param i32))";
    // 2: StopAllIterationAndBuffer, for ever.
    let module = plugin(&loader, ticks, "(i32.const 2)");
    let pair = Pair { native: module.clone(), wasm: module };
    let scenario = requests(r#"{"request": {}}, {"connection": {"downstream": ["a"]}}, {"tick": 3600000}"#);
    let outcome = run(&pair, &scenario, Rules::strict()).unwrap();
    assert!(outcome.divergence.is_none());
    assert_eq!(outcome.steps, 4);
}

#[test]
fn streams_side_by_side_are_compared() {
    let scenario = requests(
        r#"{"interleaved": [
            {"open": {"stream": 1}}, {"open": {"stream": 2}},
            {"headers": {"stream": 2, "direction": "request", "headers": [["a", "1"]]}},
            {"headers": {"stream": 1, "direction": "request", "headers": [["a", "1"], ["a", "2"], ["a", "3"]], "end": true}},
            {"body": {"stream": 2, "direction": "request", "chunk": "x"}},
            {"body": {"stream": 9, "direction": "request", "chunk": "of no stream"}},
            {"headers": {"stream": 1, "direction": "response", "headers": [[":status", "200"]], "end": true}},
            {"close": {"stream": 2}}
        ]}"#,
    );
    let outcome = run(&pair(&logs_from(3), &logs_from(100)), &scenario, Rules::default()).unwrap();
    let lines = outcome.divergence.unwrap().lines;
    let texts: Vec<&str> = lines[1].iter().map(|line| line.text.as_str()).collect();
    let at = |part: &str| {
        texts.iter().position(|text| text.contains(part)).unwrap_or_else(|| panic!("{part} is in {texts:#?}"))
    };
    assert!(at("-> proxy_on_request_headers(context_id: 3") < at("-> proxy_on_request_headers(context_id: 2"));
    assert!(
        at("-> proxy_on_done(context_id: 3") < at("-> proxy_on_done(context_id: 2"),
        "what is open is closed at the end"
    );
    assert!(
        at("stream 2 at its end: request not complete")
            < at("stream 1 at its end: request complete, response complete")
    );
}
