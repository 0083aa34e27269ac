//! Benchmarks: which there are, what they call, and what they tell.

use std::time::Duration;

use dynvm_suite::Filter;
use dynvm_suite::bench::{self, Bench};

use super::backend;
use crate::suite::Case;

/// One round of each is enough to see what it does.
fn benches(case: &Case, filter: &str) -> Vec<Bench> {
    let mut done = Vec::new();
    bench::run(&[case.runner()], &Filter::new(filter), Duration::from_millis(1), |bench| done.push(bench));
    done
}

const TESTS: &str = "test { name: 'plain' request_headers {} }
    test { name: 'one' benchmark: true request_headers {} request_body { input { content: 'a' } } request_body { input { content: 'b' } }
      response_headers { input { header { key: 'x' value: 'y' } } } }
    test { name: 'two' benchmark: true }";

#[super::compiler]
#[test]
fn lifecycles_once_and_a_row_for_each() {
    let case = Case::new(backend(), &[], TESTS);
    let engine = case.runner().engine();
    let all = benches(&case, "");
    let ids: Vec<_> = all.iter().map(|bench| bench.id(engine)).collect();
    assert_eq!(ids, ["PluginLifecycle", "StreamLifecycle", "one", "two"].map(|name| format!("Bench_{engine}.{name}")));
    // What the probe logs in a round, though none of it is kept. Creating and deleting belong to a stream's lifecycle, and a handler's stream.
    let entries: Vec<_> = all.iter().map(|bench| bench.figures(engine).unwrap().log_entries).collect();
    assert_eq!(entries, [5, 3, 7, 3]);
    for bench in &all {
        let figures = bench.figures(engine).unwrap();
        assert!(figures.times.rounds > 0 && figures.times.min_ns <= figures.times.median_ns, "{figures:?}");
        assert!(figures.artifact_bytes > 0 && figures.log_bytes > 0, "{figures:?}");
        // Natively it is that of the heap, and the probe has one of its own.
        assert_eq!(figures.memory.is_some(), backend() == harness::Backend::Wasm, "{figures:?}");
        assert_eq!(bench.ratio(), None, "there is one build");
    }
    assert_eq!(benches(&case, "*two").len(), 1);
    assert!(benches(&Case::new(backend(), &[], "test { name: 'plain' }"), "").is_empty());
}

/// The stream ends with the last chunk of all parts.
#[super::compiler]
#[test]
fn chunks_of_all_parts_in_one() {
    // At the end of a body the script of a part that is not the last would have run.
    let case = Case::new(backend(), &["on_request_body|proxy_get_buffer_bytes 0 0 9"], TESTS).log_to("log");
    let engine = case.runner().engine();
    let one = benches(&case, "one").remove(0);
    assert_eq!(one.figures(engine).unwrap().log_entries, 9, "two chunks, each read");
    let text = std::fs::read_to_string(case.path("log")).unwrap();
    assert_eq!(text, "", "benchmarks leave the file alone");
}

/// Other streams live meanwhile; they hold memory that the plugin does not give back.
#[super::compiler]
#[test]
fn streams_in_the_background() {
    let case = Case::new(backend(), &[], &format!("env {{ num_additional_streams: 20 additional_stream_advance_rate: 7 }} {TESTS}"));
    let engine = case.runner().engine();
    for bench in benches(&case, "one:StreamLifecycle") {
        // Ids of contexts count the streams before: the messages are longer by their digits.
        let figures = bench.figures(engine).unwrap();
        assert!(figures.times.rounds > 0, "{figures:?}");
    }
    // The warm-up is 16 rounds, each with a stream of its own. One other stream takes three steps from its headers to its next ones: it is
    // deleted once in a round at the rate of 3, twice at that of 6. The next deletion would trap.
    for (rate, deletions) in [(0, 32), (3, 32), (6, 48)] {
        let text = format!(
            "env {{ num_additional_streams: 1 additional_stream_advance_rate: {rate} }} test {{ name: 't' benchmark: true request_headers {{}} }}"
        );
        for (trap_at, fails) in [(deletions, true), (deletions + 1, false)] {
            let case = Case::new(backend(), &[&format!("on_delete|trap_at {trap_at}")], &text);
            let mut done = Vec::new();
            bench::run(&[case.runner()], &Filter::new("t"), Duration::ZERO, |bench| done.push(bench));
            assert_eq!(done[0].sides[0].result.is_err(), fails, "at rate {rate}, trap {trap_at}: {:?}", done[0].sides);
        }
    }
}

/// Times are not cut: what takes long is told as such.
#[super::compiler]
#[test]
fn long_rounds() {
    // Some 10,000 calls of the host's take longer than a nanosecond each.
    let script = vec!["on_request_headers|proxy_get_header_map_size 0"; 10_000];
    let case = Case::new(backend(), &script, "test { name: 't' benchmark: true request_headers {} }");
    let engine = case.runner().engine();
    let bench = benches(&case, "t").remove(0);
    let times = bench.figures(engine).unwrap().times;
    assert!(times.min_ns >= 10_000, "{times:?}");
    assert!(times.min_ns <= times.median_ns && times.median_ns <= times.p99_ns, "{times:?}");
}

/// A benchmark that cannot be run says why, and the others are run.
#[super::compiler]
#[test]
fn failures() {
    let script = ["on_request_headers|trap"];
    let all = benches(&Case::new(backend(), &script, TESTS), "");
    let failed: Vec<_> = all.iter().map(|bench| bench.sides[0].result.is_err()).collect();
    assert_eq!(failed, [false, false, true, false]);
    let text = "test { name: 't' benchmark: true request_headers { input { content: 'nonsense' } } }";
    let bench = benches(&Case::new(backend(), &[], text), "t").remove(0);
    assert!(bench.sides[0].result.as_ref().unwrap_err().contains("the first line is not METHOD TARGET HTTP/1.1"));
}
