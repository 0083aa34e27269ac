//! A report with every optional part present, and with hostile names.

use super::numbers::*;
use super::*;
use crate::ab::compare::Minimal;
use crate::ab::measure::clock::Clock;
use crate::ab::measure::samples::Pair;
use crate::ab::measure::statistics::Estimate;
use crate::ab::thresholds::{self, Decision, Value};
use crate::envoy::trial::Setup;
use crate::envoy::trial::SetupNumbers;
use crate::envoy::trial::{EnvoyDifference, EnvoyReport};

/// Closes a script, an attribute and a comment, and opens elements.
pub const HOSTILE: &str = "</script><b>\"'><!--&\u{2028}";

const CLOCK: Clock = Clock { overhead: 20.0, step: 1.0 };

/// Times around two centers, native and wasm, in 60 blocks of 120.
pub fn row(name: &str, native: u64, wasm: u64) -> Row {
    let mut pair = Pair::new(&CLOCK).unwrap();
    for block in 0..60 {
        for sample in 0..120 {
            // The same spread around both, with an occasional slow sample.
            let spread = |center: u64| center * (900 + (block * 7 + sample * 13) % 200) / 1000;
            let slow = if sample == 119 { 5 } else { 1 };
            pair.sides[0].record(spread(native) * slow);
            pair.sides[1].record(spread(wasm) * slow);
        }
        pair.end_block();
    }
    Row::of(name, &pair)
}

pub fn estimate(value: f64) -> Estimate {
    Estimate { value, low: Some(value * 0.98), high: Some(value * 1.02) }
}

fn some(value: f64) -> Option<Estimate> {
    Some(estimate(value))
}

fn growth(sizes: &[usize], per_unit_ns: f64) -> GrowthNumbers {
    let point = |(index, size): (usize, &usize)| PointNumbers {
        size: *size,
        native_p50_ns: some(1000.0 + per_unit_ns * *size as f64),
        wasm_p50_ns: some(2000.0 + 2.0 * per_unit_ns * *size as f64),
        ratio: some(0.5),
        difference: (index == 1).then(|| HOSTILE.to_owned()),
    };
    let line = |base_ns: f64, per_unit_ns: f64| Some(LineNumbers { base_ns, per_unit_ns });
    GrowthNumbers {
        points: sizes.iter().enumerate().map(point).collect(),
        line: Sides { native: line(1000.0, per_unit_ns), wasm: line(2000.0, 2.0 * per_unit_ns) },
    }
}

pub fn numbers() -> Numbers {
    let with_host = |native, wasm, host| WithHost { native: some(native), wasm: some(wasm), host: some(host) };
    let unavailable = || Some("not requested".to_owned());
    Numbers {
        traffic: row("the whole traffic", 5000, 10_000),
        stream: row("a stream", 1000, 2000),
        steps: vec![row(HOSTILE, 900, 1800)],
        outcomes: vec![OutcomeNumbers { outcome: HOSTILE.to_owned(), streams: 5 }],
        callbacks: vec![row("proxy_on_request_headers", 700, 1500), row("proxy_on_log", 12, 30)],
        whole: WholeNumbers {
            streams_per_pass: 5,
            wall_ns: with_host(1700.0, 2700.0, 700.0),
            cpu_ns: with_host(1700.0, 2700.0, 700.0),
            cpu_ratio: some(0.5),
            instructions: Some(with_host(8000.0, 14_000.0, 2000.0)),
            instructions_ratio: some(0.5),
            instructions_unavailable: unavailable(),
        },
        sweep: Some(SweepNumbers {
            request: HOSTILE.to_owned(),
            headers: growth(&[7, 20, 100], 30.0),
            body: growth(&[0, 1 << 10, 16 << 10, 64 << 10, 1 << 20], 2.0),
        }),
        sweep_unavailable: unavailable(),
        cold_start: ColdNumbers {
            native_load_ns: estimate(3e6),
            wasm_compile_ns: estimate(80e6),
            wasm_cached_ns: some(3e6),
            wasm_cached_unavailable: unavailable(),
            start_ns: Sides { native: estimate(2e5), wasm: estimate(7e4) },
            first_stream_ns: Sides { native: some(4e3), wasm: some(5e3) },
        },
        memory_per_vm_bytes: Sides { native: some(1.6e6), wasm: some(2e5) },
        size_bytes: Sides { native: 5_000_000, wasm: 2_000_000 },
        method: Method {
            passes: 1000,
            warm_up_ms: 100,
            took_ms: 4000,
            timer_overhead_ns: 20.1,
            timer_step_ns: 1.0,
            pinned_to: Some(1),
            confidence: 0.95,
            changed: vec![HOSTILE.to_owned()],
        },
    }
}

fn envoy() -> EnvoyReport {
    let numbers = |setup| SetupNumbers {
        setup,
        requests: 1000,
        cpu_ns: some(30_000.0),
        cpu_over_none_ns: some(6_000.0),
        latency_p50_ns: some(90_000.0),
        latency_p99_ns: some(200_000.0),
        memory_bytes: Some(70 << 20),
        ready_ns: 300_000_000,
    };
    EnvoyReport {
        path: HOSTILE.into(),
        version: HOSTILE.to_owned(),
        module: Some(HOSTILE.into()),
        steps: 5,
        skipped: vec![HOSTILE.to_owned()],
        unstable: vec![HOSTILE.to_owned()],
        differences: vec![EnvoyDifference {
            setup: Setup::ModuleNative,
            step: HOSTILE.to_owned(),
            aspect: HOSTILE.to_owned(),
            value: HOSTILE.to_owned(),
            v8: HOSTILE.to_owned(),
        }],
        rules: vec![dynvm_compare::rules::AppliedRule { rule: "log-text", what: HOSTILE, row: HOSTILE, count: 1 }],
        setups: [Setup::NoFilter, Setup::V8, Setup::ModuleNative, Setup::ModuleWasm].map(numbers).to_vec(),
    }
}

pub fn report() -> Report {
    let text = || Some(HOSTILE.to_owned());
    let build = || Build {
        path: HOSTILE.to_owned(),
        size_bytes: 1000,
        sha256: "0".repeat(64),
        abi_version: "0.2.1".to_owned(),
        sdk: text(),
        toolchain: vec![HOSTILE.to_owned()],
        statics: Some(vec![HOSTILE.to_owned()]),
        load_ns: 1000,
        failure: text(),
    };
    let value = Value { name: HOSTILE.to_owned(), value: 1.0, low: Some(0.9), high: Some(1.1), unit: "ns" };
    let threshold = |verdict: thresholds::Verdict| Decision {
        fail_if: HOSTILE.to_owned(),
        verdict,
        certain: true,
        reason: HOSTILE.to_owned(),
        value: Some(value.clone()),
    };
    let [native, wasm] = [HOSTILE.to_owned(), HOSTILE.to_owned()];
    Report {
        schema: SCHEMA,
        created: "2026-01-01T00:00:00Z".to_owned(),
        command: vec![HOSTILE.to_owned()],
        plugin: HOSTILE.to_owned(),
        verdict: Verdict::Different,
        passed: false,
        difference: Some(Difference {
            step: HOSTILE.to_owned(),
            aspect: HOSTILE.to_owned(),
            native,
            wasm,
            trace: vec![dynvm_differential::align::Row { same: false, native: text(), wasm: None }],
            explanation: dynvm_differential::explain::Explanation {
                native_repeats: true,
                wasm_repeats: true,
                wasm_repeats_with_other_randomness: false,
                says: vec![HOSTILE.to_owned()],
            },
            scenario: Minimal { file: Some(HOSTILE.into()), steps: 1, runs: 10, complete: true, shows_in_ten: 10 },
        }),
        failures: vec![CommonFailure {
            callback: HOSTILE.to_owned(),
            native: HOSTILE.to_owned(),
            wasm: HOSTILE.to_owned(),
            count: 2,
        }],
        steps: 6,
        generated: Some(Generated {
            seed: 1,
            streams: 100,
            events: 1000,
            vm_pairs: 2,
            failed_alike: 1,
            seconds: 0.5,
            streams_per_second: 200.0,
        }),
        rules: vec![dynvm_compare::rules::AppliedRule { rule: "size-width", what: HOSTILE, row: HOSTILE, count: 3 }],
        native: build(),
        wasm: build(),
        measured: Some(numbers()),
        not_measured: text(),
        thresholds: [thresholds::Verdict::Passed, thresholds::Verdict::Failed, thresholds::Verdict::Undecided]
            .map(threshold)
            .to_vec(),
        warnings: vec![HOSTILE.to_owned()],
        noise: Some(Noise {
            waited_ms: 500,
            busy_start: Some(0.1),
            load_start: Some(1.0),
            load_end: Some(1.0),
            steal: Some(0.01),
            preemptions: Some(3),
        }),
        environment: Environment {
            cpu: text(),
            distribution: text(),
            kernel: text(),
            glibc: text(),
            governor: text(),
            virtual_machine: Some(true),
            frequency_mhz: Some(2500.0),
            memory_bytes: Some(1 << 34),
            ..Environment::read()
        },
        envoy: Some(envoy()),
    }
}
