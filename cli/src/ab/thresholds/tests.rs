use std::collections::BTreeSet;

use super::*;
use crate::ab::report::fixture;

fn threshold(text: &str) -> Threshold {
    Threshold::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

fn decide(text: &str) -> Decision {
    threshold(text).decide(Ok(&fixture::numbers()))
}

#[test]
fn every_name_has_a_value() {
    for (name, least, most) in [
        ("native.p50", 950.0, 1050.0),
        ("native.stream.p50", 950.0, 1050.0),
        ("wasm.traffic.p90", 10_000.0, 11_500.0),
        ("native.on_request_headers.p50", 650.0, 750.0),
        ("native.proxy_on_request_headers.mean", 700.0, 800.0),
        ("wasm.on_log.min", 25.0, 30.0),
        ("native.stream.max", 4500.0, 5500.0),
        ("ratio.stream.p50", 0.49, 0.51),
        ("ratio.p99", 0.49, 0.51),
        ("native.wall", 1700.0, 1700.0),
        ("host.cpu", 700.0, 700.0),
        ("ratio.cpu", 0.5, 0.5),
        ("wasm.instructions", 14_000.0, 14_000.0),
        ("ratio.instructions", 0.5, 0.5),
        ("native.load", 3e6, 3e6),
        ("wasm.load", 80e6, 80e6),
        ("wasm.cached", 3e6, 3e6),
        ("ratio.load", 0.0375, 0.0375),
        ("native.start", 2e5, 2e5),
        ("ratio.start", 2.85, 2.86),
        ("wasm.first_stream", 5e3, 5e3),
        ("native.memory", 1.6e6, 1.6e6),
        ("ratio.memory", 8.0, 8.0),
        ("wasm.size", 2e6, 2e6),
        ("ratio.size", 2.5, 2.5),
        // The request has 7 headers of its own.
        ("native.headers.5", 1210.0, 1210.0),
        ("native.headers.100", 4000.0, 4000.0),
        ("wasm.body.0", 2000.0, 2000.0),
        ("wasm.body.64KiB", 264_144.0, 264_144.0),
        ("ratio.body.1MiB", 0.5, 0.5),
        ("native.per_header", 30.0, 30.0),
        ("ratio.per_kib", 0.5, 0.5),
    ] {
        let metric = Metric::parse(name).unwrap_or_else(|| panic!("{name} is a name"));
        let value = metric.value(&fixture::numbers()).unwrap_or_else(|error| panic!("{name}: {error}")).value;
        assert!((least..=most).contains(&value), "{name} is {value}");
    }
}

#[test]
fn names_that_mean_nothing_are_none() {
    for name in [
        "p50",
        "native",
        "native.",
        "native.p42",
        "native.stream",
        "native.on_frobnicate.p50",
        "native.stream.p50.p50",
        "host.p50",
        "host.memory",
        "native.cached",
        "ratio.cached",
        "ratio.wall",
        "ratio.max",
        "native.headers.6",
        "native.body.2KiB",
        "both.p50",
        "native..p50",
        "native.headers",
        "proxy_on_log.p50",
    ] {
        assert_eq!(Metric::parse(name), None, "{name}");
    }
}

#[test]
fn mistakes_show_the_place_and_the_names() {
    let error = parse(&["native.p50 > 1us".to_owned(), "wsam.p50 > 1us".to_owned()]).unwrap_err().to_string();
    for part in
        ["--fail-if: column 1: unknown name wsam.p50", "\n  ^^^^^^^^\n", "stream|traffic|CALLBACK", "wasm.cached"]
    {
        assert!(error.contains(part), "{part:?} is in:\n{error}");
    }
    for (text, message) in [
        ("native.p50 > 5", "a plain number cannot be compared with a time; give it a unit"),
        ("native.memory > 1ms", "a time cannot be compared with a size"),
        ("native.p50", "expected an operator"),
        ("native.p50 >", "expected a number"),
        ("native.p50 > 0.5 * wasm.p50", "compare the builds with ratio.*"),
    ] {
        let error = parse(&[text.to_owned()]).unwrap_err().to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
}

#[test]
fn a_value_that_cannot_be_measured_is_an_error_before_measuring() {
    let facts = Facts {
        callbacks: BTreeSet::from(["proxy_on_log"]),
        has_request: false,
        no_instructions: Some("no counter".to_owned()),
    };
    for (text, message) in [
        ("native.instructions > 5", "native.instructions is not available: no counter"),
        ("native.on_request_body.p50 > 5us", "the traffic does not make this callback in both builds"),
        ("native.body.0 > 5us", "the scenario has no request"),
        ("ratio.per_header > 1", "the scenario has no request"),
    ] {
        let error = threshold(text).check(&facts).unwrap_err().to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
    threshold("native.on_log.p50 > 5us").check(&facts).unwrap();
    threshold("native.cpu > 1ms").check(&facts).unwrap();
}

#[test]
fn the_point_estimate_decides_and_the_interval_says_how_sure_that_is() {
    let passed = decide("ratio.stream.p50 > 0.8");
    assert_eq!((passed.verdict, passed.certain), (Verdict::Passed, true));
    let time = decide("native.start > 100us");
    assert_eq!((time.verdict, time.certain, time.value.unwrap().unit), (Verdict::Failed, true, "ns"));
    let size = decide("native.memory > 1 MiB");
    assert_eq!((size.verdict, size.certain), (Verdict::Failed, true));
    let value = size.value.unwrap();
    assert_eq!((value.name.as_str(), value.unit), ("native.memory", "bytes"));

    // 3 ms, within 2.94 and 3.06.
    for (text, verdict) in [("native.load > 2.99 ms", Verdict::Failed), ("native.load > 3.01 ms", Verdict::Passed)] {
        let decision = decide(text);
        assert_eq!((decision.verdict, decision.certain), (verdict, false), "{text}");
        assert_eq!(decision.reason, "in doubt: by the point estimate");
    }
}

#[test]
fn a_missing_value_is_no_pass() {
    let mut numbers = fixture::numbers();
    numbers.whole.instructions = None;
    numbers.whole.instructions_unavailable = Some("no counter".to_owned());
    numbers.stream.native.p99_ns = None;
    numbers.callbacks.clear();
    numbers.cold_start.native_load_ns.value = f64::NAN;
    for (text, message) in [
        ("native.instructions > 5", "no counter"),
        ("native.p99 > 5us", "too few samples"),
        ("native.on_log.p50 > 5us", "does not make this callback"),
        ("native.load > 1s", "native.load is not available: it is not a number"),
    ] {
        let decision = threshold(text).decide(Ok(&numbers));
        assert_eq!(decision.verdict, Verdict::Undecided, "{text}");
        assert!(decision.reason.contains(message) && !decision.passed(), "{text}: {}", decision.reason);
        assert!(decision.value.is_none());
    }
    let decision = threshold("native.p50 > 5us").decide(Err("a VM failed"));
    assert_eq!((decision.verdict, decision.reason.as_str()), (Verdict::Undecided, "nothing was measured: a VM failed"));
}
