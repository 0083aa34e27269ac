//! Benchmarks: which ones run, their calls, and their results.

use std::time::Duration;

use dynvm_suite::Filter;
use dynvm_suite::bench::{self, Bench};

use super::backend;
use crate::suite::Case;

/// One round of each is enough to see its calls.
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
    // The probe's messages in a round, although none is kept. Creating and deleting belong to the benchmarks of a
    // stream's lifecycle and to a handler's stream.
    let entries: Vec<_> = all.iter().map(|bench| bench.figures(engine).unwrap().log_entries).collect();
    assert_eq!(entries, [5, 3, 7, 3]);
    for bench in &all {
        let figures = bench.figures(engine).unwrap();
        assert!(figures.times.rounds > 0 && figures.times.min_ns <= figures.times.median_ns, "{figures:?}");
        assert!(figures.artifact_bytes > 0 && figures.log_bytes > 0, "{figures:?}");
        // Natively the memory is that of the VM's heap, and the probe has its own allocator.
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
    // At the end of the body, the script would also have run for a part that is not the last.
    let case = Case::new(backend(), &["on_request_body|proxy_get_buffer_bytes 0 0 9"], TESTS).log_to("log");
    let engine = case.runner().engine();
    let one = benches(&case, "one").remove(0);
    assert_eq!(one.figures(engine).unwrap().log_entries, 9, "two chunks, each read");
    let text = std::fs::read_to_string(case.path("log")).unwrap();
    assert_eq!(text, "", "benchmarks leave the file alone");
}

/// Other streams live meanwhile and hold memory that the plugin does not free.
#[super::compiler]
#[test]
fn streams_in_the_background() {
    let case = Case::new(backend(), &[], &format!("env {{ num_additional_streams: 20 additional_stream_advance_rate: 7 }} {TESTS}"));
    let engine = case.runner().engine();
    for bench in benches(&case, "one:StreamLifecycle") {
        // Context ids grow with earlier streams, so messages are longer by some digits.
        let figures = bench.figures(engine).unwrap();
        assert!(figures.times.rounds > 0, "{figures:?}");
    }
    // The warm-up is 16 rounds with one new stream each. One additional stream takes three steps from its headers to
    // its next ones: it is deleted once in a round at the rate of 3, twice at the rate of 6. The next deletion would
    // trap.
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

/// Times have no upper limit: slow rounds are reported as measured.
#[super::compiler]
#[test]
fn long_rounds() {
    // About 10,000 hostcalls take longer than a nanosecond each.
    let script = vec!["on_request_headers|proxy_get_header_map_size 0"; 10_000];
    let case = Case::new(backend(), &script, "test { name: 't' benchmark: true request_headers {} }");
    let engine = case.runner().engine();
    let bench = benches(&case, "t").remove(0);
    let times = bench.figures(engine).unwrap().times;
    assert!(times.min_ns >= 10_000, "{times:?}");
    assert!(times.min_ns <= times.median_ns && times.median_ns <= times.p99_ns, "{times:?}");
}

/// A benchmark that cannot run reports the reason, and the others run.
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
