//! The numbers of a report, derived from the measurement.

use serde::Serialize;

use crate::ab::Side;
use crate::ab::measure::process_totals::Whole;
use crate::ab::measure::samples::{Pair, Samples, Stat};
use crate::ab::measure::statistics::{Estimate, Line};
use crate::ab::measure::sweep::{Growth, Sweep};
use crate::ab::measure::{Measured, traffic::Traffic};

/// The numbers of a report. Ratios are native to wasm: below 1, native is cheaper.
#[derive(Serialize)]
pub struct Numbers {
    /// Per pass of the whole traffic.
    pub traffic: Row,
    pub stream: Row,
    /// Per step of the scenario.
    pub steps: Vec<Row>,
    /// Outcomes of the streams of a pass.
    pub outcomes: Vec<OutcomeNumbers>,
    pub callbacks: Vec<Row>,
    pub whole: WholeNumbers,
    pub sweep: Option<SweepNumbers>,
    /// Reason why `sweep` is missing.
    pub sweep_unavailable: Option<String>,
    pub cold_start: ColdNumbers,
    pub memory_per_vm_bytes: Sides<Option<Estimate>>,
    pub size_bytes: Sides<u64>,
    pub method: Method,
}

/// The number of streams of a pass with one outcome.
#[derive(Serialize)]
pub struct OutcomeNumbers {
    /// E.g. `200 by the upstream`.
    pub outcome: String,
    pub streams: u64,
}

/// A value per build.
#[derive(Clone, Copy, Serialize)]
pub struct Sides<T> {
    pub native: T,
    pub wasm: T,
}

impl<T> Sides<T> {
    fn of([native, wasm]: [T; 2]) -> Sides<T> {
        Sides { native, wasm }
    }
}

/// Times of one quantity.
#[derive(Serialize)]
pub struct Row {
    pub name: String,
    pub native: Distribution,
    pub wasm: Distribution,
    pub ratio: Ratios,
}

/// A distribution of times in nanoseconds.
#[derive(Serialize)]
pub struct Distribution {
    pub count: u64,
    pub min_ns: u64,
    pub p50_ns: Option<Estimate>,
    pub p90_ns: Option<Estimate>,
    pub p99_ns: Option<Estimate>,
    pub mean_ns: Option<Estimate>,
    pub max_ns: u64,
    /// Histogram with [`BUCKETS_PER_DECADE`] buckets per decade: pairs of the lower bound in nanoseconds and the count.
    pub buckets: Vec<(f64, u64)>,
}

/// Number of histogram buckets per factor of ten.
pub const BUCKETS_PER_DECADE: i32 = 40;

#[derive(Serialize)]
pub struct Ratios {
    pub p50: Option<Estimate>,
    pub p90: Option<Estimate>,
    pub p99: Option<Estimate>,
    pub mean: Option<Estimate>,
}

/// Cost per stream, including the simulated proxy.
#[derive(Serialize)]
pub struct WholeNumbers {
    pub streams_per_pass: u64,
    pub wall_ns: WithHost,
    pub cpu_ns: WithHost,
    /// Ratio of CPU time, with the host's own part subtracted from both.
    pub cpu_ratio: Option<Estimate>,
    pub instructions: Option<WithHost>,
    pub instructions_ratio: Option<Estimate>,
    /// Reason why `instructions` is missing.
    pub instructions_unavailable: Option<String>,
}

/// A value per build, and for the host alone.
#[derive(Serialize)]
pub struct WithHost {
    pub native: Option<Estimate>,
    pub wasm: Option<Estimate>,
    pub host: Option<Estimate>,
}

#[derive(Serialize)]
pub struct SweepNumbers {
    /// Title of the request.
    pub request: String,
    pub headers: GrowthNumbers,
    pub body: GrowthNumbers,
}

#[derive(Serialize)]
pub struct GrowthNumbers {
    pub points: Vec<PointNumbers>,
    /// Lines fitted through the points.
    pub line: Sides<Option<LineNumbers>>,
}

#[derive(Serialize)]
pub struct PointNumbers {
    /// Number of headers, or bytes of body.
    pub size: usize,
    pub native_p50_ns: Option<Estimate>,
    pub wasm_p50_ns: Option<Estimate>,
    pub ratio: Option<Estimate>,
    /// Difference between the results, if any.
    pub difference: Option<String>,
}

#[derive(Clone, Copy, Serialize)]
pub struct LineNumbers {
    pub base_ns: f64,
    /// Nanoseconds per header or per KiB of body.
    pub per_unit_ns: f64,
}

/// Cold start, in nanoseconds.
#[derive(Serialize)]
pub struct ColdNumbers {
    pub native_load_ns: Estimate,
    pub wasm_compile_ns: Estimate,
    pub wasm_cached_ns: Option<Estimate>,
    /// Reason why `wasm_cached_ns` is missing.
    pub wasm_cached_unavailable: Option<String>,
    pub start_ns: Sides<Estimate>,
    pub first_stream_ns: Sides<Option<Estimate>>,
}

/// Method of the measurement.
#[derive(Serialize)]
pub struct Method {
    pub passes: u64,
    pub warm_up_ms: u64,
    pub took_ms: u64,
    /// Timer overhead, already subtracted.
    pub timer_overhead_ns: f64,
    /// Resolution of the clock.
    pub timer_step_ns: f64,
    pub pinned_to: Option<usize>,
    /// Confidence level of all intervals.
    pub confidence: f64,
    /// Steps whose outcome changed between the first and the last pass.
    pub changed: Vec<String>,
}

impl Numbers {
    pub fn new(measured: &Measured, sides: &[Side; 2]) -> Numbers {
        let Traffic { pass, stream, steps, callbacks, outcomes, .. } = &measured.traffic;
        let outcome =
            |(outcome, streams): (&String, &u64)| OutcomeNumbers { outcome: outcome.clone(), streams: *streams };
        Numbers {
            traffic: Row::of("the whole traffic", pass),
            stream: Row::of("a stream", stream),
            steps: steps.iter().map(|(title, pair)| Row::of(title, pair)).collect(),
            outcomes: outcomes.iter().map(outcome).collect(),
            callbacks: callbacks.iter().map(|(name, pair)| Row::of(name, pair)).collect(),
            whole: WholeNumbers::of(&measured.whole),
            sweep: measured.sweep.as_ref().ok().map(SweepNumbers::of),
            sweep_unavailable: measured.sweep.as_ref().err().cloned(),
            cold_start: ColdNumbers::of(measured),
            memory_per_vm_bytes: Sides::of(measured.memory),
            size_bytes: Sides::of(sides.each_ref().map(|side| side.module.info().size as u64)),
            method: Method {
                passes: measured.traffic.passes,
                warm_up_ms: measured.traffic.warm_up.as_millis() as u64,
                took_ms: measured.took.as_millis() as u64,
                timer_overhead_ns: (measured.clock.overhead * 10.0).round() / 10.0,
                timer_step_ns: measured.clock.step,
                pinned_to: measured.pinned,
                confidence: 0.95,
                changed: measured.traffic.changed.clone(),
            },
        }
    }

    /// Whether any results differed in the sweep.
    pub fn sweep_differs(&self) -> bool {
        self.differing_points().next().is_some()
    }

    /// Points of the sweep with different results: the size and the difference.
    pub fn differing_points(&self) -> impl Iterator<Item = (String, &str)> {
        self.sweep.iter().flat_map(|sweep| {
            let headers = sweep.headers.points.iter().map(|point| (point, "headers"));
            let bodies = sweep.body.points.iter().map(|point| (point, "bytes of body"));
            headers.chain(bodies).filter_map(|(point, unit)| {
                let difference = point.difference.as_deref()?;
                Some((format!("{} {unit}", point.size), difference))
            })
        })
    }
}

impl Row {
    pub fn of(name: &str, pair: &Pair) -> Row {
        let [native, wasm] = &pair.sides;
        Row {
            name: name.to_owned(),
            native: Distribution::of(native),
            wasm: Distribution::of(wasm),
            ratio: Ratios {
                p50: pair.ratio(Stat::P50),
                p90: pair.ratio(Stat::P90),
                p99: pair.ratio(Stat::P99),
                mean: pair.ratio(Stat::Mean),
            },
        }
    }

    /// Whether any value was measured.
    pub fn is_measured(&self) -> bool {
        self.native.count > 0 && self.wasm.count > 0
    }
}

impl Distribution {
    fn of(samples: &Samples) -> Distribution {
        let all = samples.all();
        let mut buckets: Vec<(i32, u64)> = Vec::new();
        for value in all.iter_recorded() {
            let bucket = bucket_of(value.value_iterated_to());
            match buckets.last_mut() {
                Some((last, count)) if *last == bucket => *count += value.count_at_value(),
                _ => buckets.push((bucket, value.count_at_value())),
            }
        }
        Distribution {
            count: all.len(),
            min_ns: all.min(),
            p50_ns: samples.estimate(Stat::P50),
            p90_ns: samples.estimate(Stat::P90),
            p99_ns: samples.estimate(Stat::P99),
            mean_ns: samples.estimate(Stat::Mean),
            max_ns: all.max(),
            buckets: buckets.into_iter().map(|(bucket, count)| (start_of(bucket), count)).collect(),
        }
    }
}

/// Times below a nanosecond count as one nanosecond.
fn bucket_of(nanoseconds: u64) -> i32 {
    ((nanoseconds.max(1) as f64).log10() * f64::from(BUCKETS_PER_DECADE)).floor() as i32
}

fn start_of(bucket: i32) -> f64 {
    10f64.powf(f64::from(bucket) / f64::from(BUCKETS_PER_DECADE))
}

impl WithHost {
    fn of([native, wasm, host]: [Option<Estimate>; 3]) -> WithHost {
        WithHost { native, wasm, host }
    }
}

impl WholeNumbers {
    fn of(whole: &Whole) -> WholeNumbers {
        WholeNumbers {
            streams_per_pass: whole.streams,
            wall_ns: WithHost::of(whole.wall),
            cpu_ns: WithHost::of(whole.cpu),
            cpu_ratio: whole.cpu_ratio,
            instructions: whole.instructions.as_ref().ok().copied().map(WithHost::of),
            instructions_ratio: whole.instructions_ratio,
            instructions_unavailable: whole.instructions.as_ref().err().cloned(),
        }
    }
}

impl SweepNumbers {
    fn of(sweep: &Sweep) -> SweepNumbers {
        SweepNumbers {
            request: sweep.request.clone(),
            headers: GrowthNumbers::of(&sweep.headers, 1.0),
            body: GrowthNumbers::of(&sweep.body, 1024.0),
        }
    }
}

impl GrowthNumbers {
    fn of(growth: &Growth, unit: f64) -> GrowthNumbers {
        let points = growth.points.iter().map(|point| PointNumbers {
            size: point.size,
            native_p50_ns: point.times[0],
            wasm_p50_ns: point.times[1],
            ratio: point.ratio,
            difference: point.difference.clone(),
        });
        let line = |Line { base, slope }: Line| LineNumbers { base_ns: base, per_unit_ns: slope * unit };
        GrowthNumbers { points: points.collect(), line: Sides::of(growth.lines.map(|fitted| fitted.map(line))) }
    }
}

impl ColdNumbers {
    fn of(measured: &Measured) -> ColdNumbers {
        let cold = &measured.cold;
        ColdNumbers {
            native_load_ns: cold.native_load,
            wasm_compile_ns: cold.wasm_compile,
            wasm_cached_ns: cold.wasm_cached.as_ref().ok().copied(),
            wasm_cached_unavailable: cold.wasm_cached.as_ref().err().cloned(),
            start_ns: Sides::of(cold.start),
            first_stream_ns: Sides::of(cold.first_stream),
        }
    }
}
