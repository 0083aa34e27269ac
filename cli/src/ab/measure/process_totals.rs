//! Total cost of a stream (plugin, loader and simulated proxy): wall time, CPU time, instructions.
//!
//! Reading the CPU clock or a counter takes longer than many callbacks, so it is read once per
//! batch of passes. The host's own part is measured too, with an empty module in place of the
//! plugin.

use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use dynvm::{Loader, Module};
use dynvm_sim::{Checkpoint, SimProxy};
use indicatif::ProgressBar;

use super::instructions::Instructions;
use super::interleave::Turns;
use super::pass;
use super::statistics::Estimate;
use crate::ab::Side;
use crate::exit::cannot_load;
use crate::scenario::{Scenario, Step};

const BLOCKS: u32 = 30;

/// Duration of a batch: long compared with reading a clock, short compared with disturbances.
const BATCH: Duration = Duration::from_micros(300);

/// Cost per stream. Arrays are native, wasm, and the host alone.
pub struct Whole {
    /// Streams per pass; 1 if the scenario has none, so that the numbers are per pass.
    pub streams: u64,
    /// Wall time in nanoseconds.
    pub wall: [Option<Estimate>; 3],
    /// CPU time of the thread in nanoseconds.
    pub cpu: [Option<Estimate>; 3],
    /// Instructions in user mode, or the reason why they cannot be counted.
    pub instructions: Result<[Option<Estimate>; 3], String>,
    /// Ratio of CPU time, native to wasm, with the host's own part subtracted from both.
    pub cpu_ratio: Option<Estimate>,
    /// The same ratio in instructions.
    pub instructions_ratio: Option<Estimate>,
}

pub fn measure(sides: &[Side; 2], scenario: &Scenario, time: Duration, bar: &ProgressBar) -> anyhow::Result<Whole> {
    let streams = scenario.steps.iter().filter(|step| !matches!(step, Step::Tick(_))).count().max(1) as u64;
    let empty = empty_module()?;
    let mut subjects = [
        Subject::warm(sides[0].host(scenario)?, scenario)?,
        Subject::warm(sides[1].host(scenario)?, scenario)?,
        Subject::warm(scenario.host().start(&empty).map_err(cannot_load)?, scenario)?,
    ];
    let mut counter = Instructions::open();
    let mut blocks: [Vec<Cost>; 3] = Default::default();
    let mut sums = [Cost::default(); 3];
    let shared = std::cell::RefCell::new(&mut sums);
    Turns { time, blocks: BLOCKS, bar }.take(
        3,
        &mut |index| {
            let cost = subjects[index].batch(scenario, counter.as_mut().ok())?;
            shared.borrow_mut()[index].add(cost);
            Ok(())
        },
        &mut || {
            for (sum, blocks) in shared.borrow_mut().iter_mut().zip(&mut blocks) {
                blocks.push(std::mem::take(sum).per_stream(streams));
            }
        },
    )?;
    let estimates = |of: fn(&Cost) -> f64| blocks.each_ref().map(|blocks| median(blocks.iter().map(of)));
    let instructions = counter.map(|_| estimates(|cost| cost.instructions));
    Ok(Whole {
        streams,
        wall: estimates(|cost| cost.wall),
        cpu: estimates(|cost| cost.cpu),
        cpu_ratio: ratio(&blocks, |cost| cost.cpu),
        instructions_ratio: instructions.as_ref().ok().and_then(|_| ratio(&blocks, |cost| cost.instructions)),
        instructions,
    })
}

/// A module without callbacks: only the host's own work remains.
fn empty_module() -> anyhow::Result<Module> {
    let text = br#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1")))"#;
    Loader::new().and_then(|loader| loader.load_bytes("the empty module", text)).map_err(cannot_load)
}

/// Cost of a batch: nanoseconds and instructions.
#[derive(Clone, Copy, Default)]
struct Cost {
    passes: u64,
    wall: f64,
    cpu: f64,
    instructions: f64,
}

impl Cost {
    fn add(&mut self, other: Cost) {
        self.passes += other.passes;
        self.wall += other.wall;
        self.cpu += other.cpu;
        self.instructions += other.instructions;
    }

    fn per_stream(self, streams: u64) -> Cost {
        let count = (self.passes * streams).max(1) as f64;
        Cost {
            passes: self.passes,
            wall: self.wall / count,
            cpu: self.cpu / count,
            instructions: self.instructions / count,
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<Estimate> {
    Estimate::median_of(&values.collect::<Vec<_>>())
}

/// Median over blocks of the native to wasm ratio, with the host's own part subtracted from both.
fn ratio(blocks: &[Vec<Cost>; 3], of: fn(&Cost) -> f64) -> Option<Estimate> {
    let [native, wasm, host] = blocks;
    let parts = native.iter().zip(wasm).zip(host).map(|((native, wasm), host)| {
        let host = of(host);
        (of(native) - host, of(wasm) - host)
    });
    median(parts.filter(|(native, wasm)| *native > 0.0 && *wasm > 0.0).map(|(native, wasm)| native / wasm))
}

struct Subject {
    host: SimProxy,
    /// State in which each pass begins.
    start: Checkpoint,
    /// Passes per batch.
    passes: u64,
}

impl Subject {
    /// Warms up a host and measures the duration of a pass.
    fn warm(mut host: SimProxy, scenario: &Scenario) -> anyhow::Result<Subject> {
        const PASSES: u32 = 5;
        let start = host.checkpoint();
        pass(&mut host, &start, scenario, &mut |_, _| ())?;
        let began = Instant::now();
        for _ in 0..PASSES {
            pass(&mut host, &start, scenario, &mut |_, _| ())?;
        }
        let one = (began.elapsed() / PASSES).as_nanos().max(1);
        let passes = (BATCH.as_nanos() / one).clamp(1, 10_000) as u64;
        Ok(Subject { host, start, passes })
    }

    fn batch(&mut self, scenario: &Scenario, counter: Option<&mut Instructions>) -> anyhow::Result<Cost> {
        let Subject { host, start, passes } = self;
        let mut run = || -> anyhow::Result<(Duration, Duration)> {
            let (cpu, wall) = (ThreadTime::try_now()?, Instant::now());
            for _ in 0..*passes {
                pass(host, start, scenario, &mut |_, _| ())?;
            }
            let wall = wall.elapsed();
            Ok((wall, cpu.try_elapsed()?))
        };
        let ((wall, cpu), instructions) = match counter {
            Some(counter) => counter.count(&mut run)?,
            None => (run()?, 0),
        };
        Ok(Cost {
            passes: *passes,
            wall: wall.as_nanos() as f64,
            cpu: cpu.as_nanos() as f64,
            instructions: instructions as f64,
        })
    }
}
