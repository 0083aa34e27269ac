//! Properties, the clock, and missing services.

use super::backend;
use crate::suite::{Case, logged, result};

/// A stream has only the test's properties; empty segments of a path do not count. A root has only the id that the C++
/// SDK reads.
#[super::compiler]
#[test]
fn properties() {
    let result = result(
        backend(),
        &[
            "on_configure|proxy_get_property plugin_root_id",
            "on_configure|proxy_get_property plugin_name",
            "on_configure|proxy_get_property a%00b",
            "on_request_headers|proxy_get_property a%00b",
            "on_request_headers|proxy_get_property %00a%00%00b%00",
            "on_request_headers|proxy_get_property a.b",
            "on_request_headers|proxy_get_property e",
            "on_request_headers|proxy_get_property plugin_root_id",
            "on_request_headers|proxy_get_property plugin_name",
            "on_request_headers|proxy_set_property a x",
        ],
        "properties { path: 'a.b' value: 'first' } properties { path: 'a.b' value: 'second' } properties { path: 'e' }
         properties { path: 'plugin_name' value: 'mine' } request_headers {}",
    );
    let lines = |answers: &[&str]| answers.iter().map(|answer| format!("proxy_get_property = {answer}")).collect::<Vec<_>>();
    let init = logged(&result, "plugin_init");
    assert_eq!(init[init.len() - 3..], lines(&["0 null", "12", "12"]));
    let request = logged(&result, "request_headers");
    assert_eq!(request[1..7], lines(&["0 first", "0 first", "0 first", "0 null", "1", "0 mine"]));
    assert_eq!(request[7], "proxy_set_property = 12");
}

/// The clock stands still, at the given time or by default just after 1970.
#[super::compiler]
#[test]
fn the_clock() {
    let script = ["on_request_headers|proxy_get_current_time_nanoseconds", "on_request_headers|proxy_get_current_time_nanoseconds"];
    for (env, time) in [("", 1_000_000u64), ("env { time_secs: 0 }", 1_000_000), ("env { time_secs: 12 }", 12_000_000_000)] {
        let case = Case::new(backend(), &script, &format!("{env} test {{ name: 't' request_headers {{}} }}"));
        let line = format!("proxy_get_current_time_nanoseconds = 0 {time}");
        assert_eq!(logged(&case.run()[0], "request_headers")[1..], [line.clone(), line]);
    }
}

/// Calls, metrics, continue and close are missing; ticks can be set and never occur; the plugin sees the lowest log
/// level.
#[super::compiler]
#[test]
fn what_the_host_does_not_have() {
    let script = [
        "on_request_headers|proxy_http_call u null null null 1",
        "on_request_headers|proxy_grpc_call u s m null null 1",
        "on_request_headers|proxy_grpc_stream u s m null",
        "on_request_headers|proxy_grpc_send 1 x 0",
        "on_request_headers|proxy_grpc_cancel 1",
        "on_request_headers|proxy_grpc_close 1",
        "on_request_headers|proxy_define_metric 0 m",
        "on_request_headers|proxy_increment_metric 1 1",
        "on_request_headers|proxy_record_metric 1 1",
        "on_request_headers|proxy_get_metric 1",
        "on_request_headers|proxy_continue_stream 0",
        "on_request_headers|proxy_close_stream 0",
        "on_request_headers|proxy_done",
        "on_request_headers|proxy_call_foreign_function f null",
        "on_request_headers|proxy_set_tick_period_milliseconds 1",
        "on_request_headers|proxy_get_log_level",
    ];
    let result = result(backend(), &script, "request_headers {}");
    let lines = logged(&result, "request_headers");
    let answers: Vec<&str> = lines[1..].iter().map(|line| line.split_once(" = ").unwrap().1).collect();
    assert_eq!(answers, ["12"; 12].into_iter().chain(["1", "1", "0", "0 0"]).collect::<Vec<_>>());
}

/// Shared data outlives a test and is visible to the next one.
#[super::compiler]
#[test]
fn shared_data() {
    let script = ["on_request_headers|proxy_get_shared_data k", "on_request_headers|proxy_set_shared_data k v 0"];
    let case = Case::new(backend(), &script, "test { name: 'a' request_headers {} } test { name: 'b' request_headers {} }");
    let results = case.run();
    let first = |index: usize| logged(&results[index], "request_headers")[1].clone();
    assert_eq!(first(0), "proxy_get_shared_data = 1");
    assert!(first(1).starts_with("proxy_get_shared_data = 0") && first(1).ends_with(" v"), "{}", first(1));
    assert_eq!(logged(&case.run()[0], "request_headers")[1], "proxy_get_shared_data = 1", "another run has its own");
}
