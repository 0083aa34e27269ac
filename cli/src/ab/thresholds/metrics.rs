//! The metrics of thresholds, and their values in a report.

use std::collections::BTreeSet;

use super::condition::Dimension;
use crate::ab::Side;
use crate::ab::measure::instructions::Instructions;
use crate::ab::measure::samples::Stat;
use crate::ab::measure::statistics::Estimate;
use crate::ab::report::numbers::{Distribution, GrowthNumbers, Numbers, Ratios, Row, WithHost};
use crate::scenario::{Scenario, Step, drive_step};
use dynvm::abi::table::CALLBACKS;

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    of: Of,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Native,
    Wasm,
    /// The simulated proxy without a plugin.
    Host,
    /// Native to wasm.
    Ratio,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Time(Times, TimeStat),
    Wall,
    Cpu,
    Instructions,
    Load,
    Cached,
    Start,
    FirstStream,
    Memory,
    Size,
    Headers(usize),
    Body(usize),
    PerHeader,
    PerKib,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Times {
    Traffic,
    Stream,
    Callback(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeStat {
    Of(Stat),
    Min,
    Max,
}

/// Facts that are known before measuring.
pub struct Facts {
    /// Callbacks that the traffic makes in both builds.
    pub callbacks: BTreeSet<&'static str>,
    /// Whether the scenario has a request.
    pub has_request: bool,
    /// Reason why instructions cannot be counted.
    pub no_instructions: Option<String>,
}

impl Facts {
    /// Runs the scenario once through both builds.
    ///
    /// # Errors
    ///
    /// A VM does not start.
    pub fn of(sides: &[Side; 2], scenario: &Scenario) -> anyhow::Result<Facts> {
        let mut made: [BTreeSet<&'static str>; 2] = Default::default();
        for (side, made) in sides.iter().zip(&mut made) {
            let mut host = side.host(scenario)?;
            host.take_steps();
            for step in &scenario.steps {
                drive_step(&mut host, step)?;
            }
            made.extend(host.take_steps().iter().map(|step| step.callback));
        }
        Ok(Facts {
            callbacks: made[0].intersection(&made[1]).copied().collect(),
            has_request: scenario.steps.iter().any(|step| matches!(step, Step::Request(_))),
            no_instructions: Instructions::open().err(),
        })
    }
}

const BODIES: [(&str, usize); 5] =
    [("0", 0), ("1KiB", 1 << 10), ("16KiB", 16 << 10), ("64KiB", 64 << 10), ("1MiB", 1 << 20)];
const HEADERS: [(&str, usize); 3] = [("5", 5), ("20", 20), ("100", 100)];

/// The list of names in messages.
const NAMES: &str =
    "  native|wasm|ratio . stream|traffic|CALLBACK . p50|p90|p99|mean   times; native.p50 is native.stream.p50
  native|wasm . stream|traffic|CALLBACK . min|max
  native|wasm|ratio . cpu|instructions, native|wasm|host . wall    per stream, including the host; ratios exclude it
  host.cpu, host.instructions                                      the host alone
  native|wasm|ratio . load|start|first_stream, wasm.cached         cold start
  native|wasm|ratio . memory|size                                  bytes per additional VM, of the artifact
  native|wasm|ratio . headers.5|20|100, body.0|1KiB|16KiB|64KiB|1MiB
  native|wasm|ratio . per_header|per_kib                           slopes of the above";

/// The message for an unknown name.
pub fn unknown(name: &str) -> String {
    format!("unknown name {name}\nNames, where CALLBACK is e.g. on_request_headers:\n{NAMES}")
}

impl Metric {
    pub fn parse(name: &str) -> Option<Metric> {
        let (of, rest) = name.split_once('.')?;
        let of = match of {
            "native" => Of::Native,
            "wasm" => Of::Wasm,
            "host" => Of::Host,
            "ratio" => Of::Ratio,
            _ => return None,
        };
        let what = what(rest)?;
        let exists = match (of, what) {
            (Of::Host, what) => matches!(what, What::Wall | What::Cpu | What::Instructions),
            (Of::Native | Of::Ratio, What::Cached) | (Of::Ratio, What::Wall) => false,
            (Of::Ratio, What::Time(_, stat)) => matches!(stat, TimeStat::Of(_)),
            _ => true,
        };
        exists.then_some(Metric { of, what })
    }

    pub fn dimension(self) -> Dimension {
        match (self.of, self.what) {
            (Of::Ratio, _) | (_, What::Instructions) => Dimension::Number,
            (_, What::Memory | What::Size) => Dimension::Size,
            _ => Dimension::Time,
        }
    }

    pub fn unit(self) -> &'static str {
        match self.dimension() {
            Dimension::Time => "ns",
            Dimension::Size => "bytes",
            Dimension::Number => "",
        }
    }

    /// Checks, as far as is known before measuring, that the metric will have a value.
    pub fn check(self, facts: &Facts) -> Result<(), String> {
        match self.what {
            What::Instructions => facts.no_instructions.clone().map_or(Ok(()), Err),
            What::Time(Times::Callback(name), _) if !facts.callbacks.contains(name) => {
                Err("the traffic does not make this callback in both builds".to_owned())
            }
            What::Headers(_) | What::Body(_) | What::PerHeader | What::PerKib if !facts.has_request => {
                Err("the scenario has no request".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// The value, or the reason why it is missing.
    pub fn value(self, numbers: &Numbers) -> Result<Estimate, String> {
        let cold = &numbers.cold_start;
        let size = |bytes: u64| Some(Estimate::point(bytes as f64));
        let memory = &numbers.memory_per_vm_bytes;
        match self.what {
            What::Time(times, stat) => self.time(numbers, times, stat),
            What::Wall => self.whole(&numbers.whole.wall_ns, None),
            What::Cpu => self.whole(&numbers.whole.cpu_ns, numbers.whole.cpu_ratio),
            What::Instructions => {
                let reason = numbers.whole.instructions_unavailable.as_deref().unwrap_or("it was not counted");
                let counts = numbers.whole.instructions.as_ref().ok_or(reason)?;
                self.whole(counts, numbers.whole.instructions_ratio)
            }
            What::Load => self.pick(Some(cold.native_load_ns), Some(cold.wasm_compile_ns), None),
            What::Cached => {
                let reason = cold.wasm_cached_unavailable.as_deref().unwrap_or("it was not measured");
                cold.wasm_cached_ns.ok_or(reason.to_owned())
            }
            What::Start => self.pick(Some(cold.start_ns.native), Some(cold.start_ns.wasm), None),
            What::FirstStream => self.pick(cold.first_stream_ns.native, cold.first_stream_ns.wasm, None),
            What::Memory => self.pick(memory.native, memory.wasm, None),
            What::Size => self.pick(size(numbers.size_bytes.native), size(numbers.size_bytes.wasm), None),
            What::Headers(size) => self.point(numbers, |sweep| &sweep.headers, size),
            What::Body(size) => self.point(numbers, |sweep| &sweep.body, size),
            What::PerHeader => self.slope(numbers, |sweep| &sweep.headers),
            What::PerKib => self.slope(numbers, |sweep| &sweep.body),
        }
    }

    /// The value of a side, or the ratio: the measured one if there is one, otherwise the quotient.
    fn pick(
        self,
        native: Option<Estimate>,
        wasm: Option<Estimate>,
        ratio: Option<Estimate>,
    ) -> Result<Estimate, String> {
        let value = match self.of {
            Of::Native => native,
            Of::Wasm => wasm,
            Of::Host => None,
            Of::Ratio => ratio.or_else(|| native?.over(wasm?)),
        };
        value.ok_or_else(|| "too few samples, or shorter than the clock's resolution".to_owned())
    }

    fn time(self, numbers: &Numbers, times: Times, stat: TimeStat) -> Result<Estimate, String> {
        let row = match times {
            Times::Traffic => &numbers.traffic,
            Times::Stream => &numbers.stream,
            Times::Callback(name) => {
                let row = numbers.callbacks.iter().find(|row| row.name == name);
                row.ok_or("the traffic does not make this callback")?
            }
        };
        let Row { native, wasm, ratio, .. } = row;
        if !row.is_measured() {
            return Err("the traffic does not make this callback".to_owned());
        }
        let TimeStat::Of(stat) = stat else {
            let extreme = |of: &Distribution| if stat == TimeStat::Min { of.min_ns } else { of.max_ns };
            let [native, wasm] = [native, wasm].map(|of| Some(Estimate::point(extreme(of) as f64)));
            return self.pick(native, wasm, None);
        };
        // A quotient of two medians is no substitute for a ratio that could not be measured.
        match self.of {
            Of::Ratio => ratio_of(ratio, stat).ok_or_else(|| "shorter than the clock's resolution".to_owned()),
            _ => self.pick(stat_of(native, stat), stat_of(wasm, stat), None),
        }
    }

    fn whole(self, of: &WithHost, ratio: Option<Estimate>) -> Result<Estimate, String> {
        match self.of {
            Of::Host => of.host.ok_or_else(|| "it was not measured".to_owned()),
            Of::Ratio => ratio.ok_or_else(|| "the plugin's part is too small compared with the host's".to_owned()),
            _ => self.pick(of.native, of.wasm, None),
        }
    }

    fn point(
        self,
        numbers: &Numbers,
        growth: fn(&crate::ab::report::numbers::SweepNumbers) -> &GrowthNumbers,
        size: usize,
    ) -> Result<Estimate, String> {
        let sweep = numbers.sweep.as_ref().ok_or("the scenario has no request")?;
        // A request with more headers than this starts at its own number.
        let point = growth(sweep).points.iter().find(|point| point.size >= size);
        let point = point.ok_or("it was not measured")?;
        self.pick(point.native_p50_ns, point.wasm_p50_ns, point.ratio)
    }

    fn slope(
        self,
        numbers: &Numbers,
        growth: fn(&crate::ab::report::numbers::SweepNumbers) -> &GrowthNumbers,
    ) -> Result<Estimate, String> {
        let sweep = numbers.sweep.as_ref().ok_or("the scenario has no request")?;
        let line = &growth(sweep).line;
        let slope =
            |line: Option<crate::ab::report::numbers::LineNumbers>| line.map(|line| Estimate::point(line.per_unit_ns));
        self.pick(slope(line.native), slope(line.wasm), None)
    }
}

fn what(name: &str) -> Option<What> {
    Some(match name {
        "wall" => What::Wall,
        "cpu" => What::Cpu,
        "instructions" => What::Instructions,
        "load" => What::Load,
        "cached" => What::Cached,
        "start" => What::Start,
        "first_stream" => What::FirstStream,
        "memory" => What::Memory,
        "size" => What::Size,
        "per_header" => What::PerHeader,
        "per_kib" => What::PerKib,
        _ => {
            let Some((what, last)) = name.rsplit_once('.') else {
                return Some(What::Time(Times::Stream, time_stat(name)?));
            };
            let size = |sizes: &[(&str, usize)]| sizes.iter().find(|(name, _)| *name == last).map(|(_, size)| *size);
            match what {
                "headers" => What::Headers(size(&HEADERS)?),
                "body" => What::Body(size(&BODIES)?),
                "traffic" => What::Time(Times::Traffic, time_stat(last)?),
                "stream" => What::Time(Times::Stream, time_stat(last)?),
                callback => What::Time(Times::Callback(known_callback(callback)?), time_stat(last)?),
            }
        }
    })
}

/// Resolves a callback of the ABI, with or without the prefix.
fn known_callback(name: &str) -> Option<&'static str> {
    let name = name.strip_prefix("proxy_").unwrap_or(name);
    CALLBACKS.iter().map(|callback| callback.name).find(|known| known.strip_prefix("proxy_") == Some(name))
}

fn time_stat(name: &str) -> Option<TimeStat> {
    match name {
        "min" => Some(TimeStat::Min),
        "max" => Some(TimeStat::Max),
        _ => Stat::ALL.into_iter().find(|stat| stat.name() == name).map(TimeStat::Of),
    }
}

fn stat_of(distribution: &Distribution, stat: Stat) -> Option<Estimate> {
    match stat {
        Stat::P50 => distribution.p50_ns,
        Stat::P90 => distribution.p90_ns,
        Stat::P99 => distribution.p99_ns,
        Stat::Mean => distribution.mean_ns,
    }
}

fn ratio_of(ratios: &Ratios, stat: Stat) -> Option<Estimate> {
    match stat {
        Stat::P50 => ratios.p50,
        Stat::P90 => ratios.p90,
        Stat::P99 => ratios.p99,
        Stat::Mean => ratios.mean,
    }
}
