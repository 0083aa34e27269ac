//! Messages: which are kept, their contexts, and the log file.

use super::backend;
use crate::suite::{Case, fails, logged, passes, result};

/// Messages are kept from level info on, or from the given level.
#[super::compiler]
#[test]
fn levels() {
    let script: Vec<String> = (0..6).map(|level| format!("on_request_headers|proxy_log {level} level{level}")).collect();
    let script: Vec<&str> = script.iter().map(String::as_str).collect();
    for (env, least) in
        [("", 2), ("env { log_level: UNDEFINED }", 2), ("env { log_level: TRACE }", 0), ("env { log_level: ERROR }", 4), ("env { log_level: CRITICAL }", 5)]
    {
        let case = Case::new(backend(), &script, &format!("{env} test {{ name: 't' request_headers {{}} }}"));
        let kept = logged(&case.run()[0], "request_headers");
        let kept: Vec<&String> = kept.iter().filter(|line| line.starts_with("level")).collect();
        assert_eq!(kept, (least..6).map(|level| format!("level{level}")).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    }
}

/// Each step has its own messages: a stream's are dropped when the next step begins; a root's start is one step.
#[super::compiler]
#[test]
fn steps() {
    let result = result(backend(), &[], "request_headers {} response_headers {}");
    assert_eq!(logged(&result, "plugin_init").iter().map(|line| line.split('(').next().unwrap()).collect::<Vec<_>>(),
        ["on_context_create", "on_vm_start", "on_configure"], "and nothing of what ran before the plugin");
    assert_eq!(logged(&result, "stream_init"), ["on_context_create(2 1)"]);
    assert_eq!(logged(&result, "request_headers"), ["on_request_headers(2 0 0)"]);
    assert_eq!(logged(&result, "response_headers"), ["on_response_headers(2 0 0)"]);
    assert_eq!(logged(&result, "stream_destroy"), ["on_done(2)", "on_delete(2)"]);
    let chunked = "chunk_size: 1 request_body { input { content: 'ab' } result { log { exact: 'on_request_body(2 1 1)' }
        log { exact: 'on_request_body(2 1 0)' invert: true } } }";
    passes(backend(), &[], chunked);
}

/// A message belongs to the context in effect.
#[super::compiler]
#[test]
fn the_effective_context() {
    let script = [
        "on_request_headers|proxy_set_effective_context 1",
        "on_request_headers|proxy_log 2 ours",
    ];
    passes(backend(), &script, "request_headers { result { log { exact: 'ours' invert: true } } }");
    let stream = ["on_request_headers|proxy_log 2 ours"];
    passes(backend(), &stream, "request_headers { result { log { exact: 'ours' } } }");
}

#[super::compiler]
#[test]
fn expectations() {
    let request = |log: &str| format!("request_headers {{ result {{ log {{ {log} }} }} }}");
    fails(backend(), &[], &request("exact: 'x'"), "expected a log message \"x\"; found:\n  \"on_request_headers(2 0 0)\"");
    fails(backend(), &[], &request("regex: '.*headers.*' invert: true"), "expected no log message matching");
    fails(backend(), &[], "plugin_init { log { exact: 'x' } }", "[plugin_init]");
    fails(backend(), &[], "stream_init { log { exact: 'x' } }", "[stream_init]");
    fails(backend(), &[], "stream_destroy { log { exact: 'x' } }", "[stream_destroy]");
    // Only the log of starting and ending is checked.
    passes(backend(), &[], "plugin_init { immediate {} has_header { key: 'x' } body { exact: 'y' } }");
}

/// The file gets all kept messages of all contexts, between two marks for each test, after its previous content.
#[super::compiler]
#[test]
fn the_file() {
    let case = Case::new(
        backend(),
        &["on_request_headers|proxy_log 1 debug"],
        "test { name: 'a' request_headers {} } test { name: 'b' }",
    );
    let case = case.file("log", "before\n").log_to("log");
    case.run();
    let start = |name: &str| format!("--- Starting test: {name} ---");
    let end = |name: &str| format!("--- Finished test: {name} ---");
    let text = std::fs::read_to_string(case.path("log")).unwrap();
    let size = std::fs::metadata(case.path("script")).unwrap().len();
    let configure = format!("on_configure(1 {size})");
    let root = ["on_context_create(1 0)", "on_vm_start(1 0)", &configure, "on_context_create(2 1)"];
    let close = ["on_done(2)", "on_delete(2)", "on_done(1)", "on_delete(1)"];
    let (starts, ends) = ([start("a"), start("b")], [end("a"), end("b")]);
    let mut expected = vec!["before", "_initialize", "main", &starts[0]];
    expected.extend(root);
    expected.extend(["on_request_headers(2 0 0)", "proxy_log = 0"]);
    expected.extend(close);
    expected.extend([&ends[0], "_initialize", "main", &starts[1]]);
    expected.extend(root);
    expected.extend(close);
    expected.push(&ends[1]);
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}
