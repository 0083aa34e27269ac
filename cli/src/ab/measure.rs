//! Times and memory of both builds, in rounds that alternate between them, since machines change their mind.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use dynvm::memory::MemoryHost;
use hdrhistogram::Histogram;

use super::Side;
use crate::progress;
use crate::scenario::{Scenario, Step, drive_step};

/// What was measured: native, wasm.
pub struct Measured {
    pub sides: [Times; 2],
    /// Rounds through the whole traffic, of each.
    pub rounds: u64,
    /// Time that taking the time of a callback takes, which was subtracted.
    pub overhead: Duration,
}

pub struct Times {
    /// The callbacks of a stream, together.
    pub stream: Histogram<u64>,
    /// Each callback.
    pub callbacks: BTreeMap<&'static str, Histogram<u64>>,
    /// A VM and the plugin in it, from a loaded module to the end of its configuration.
    pub start: Histogram<u64>,
    /// Bytes of memory of one more VM.
    pub memory: Option<u64>,
}

impl Times {
    fn new() -> anyhow::Result<Times> {
        Ok(Times { stream: histogram()?, callbacks: BTreeMap::new(), start: histogram()?, memory: None })
    }
}

/// Nanoseconds, in three digits.
fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new(3)?)
}

/// VMs that are started to take the time of it, and that are kept to measure the memory of one.
const STARTS: u64 = 30;
const KEPT: u64 = 20;

pub fn measure(sides: &[Side; 2], scenario: &Scenario, duration: Duration) -> anyhow::Result<Measured> {
    let mut times = [Times::new()?, Times::new()?];
    let overhead = overhead();

    let bar = progress::bar(STARTS, "starting VMs");
    for _ in 0..STARTS {
        for (side, times) in sides.iter().zip(&mut times) {
            let start = Instant::now();
            let host = side.host(scenario)?;
            times.start.record(start.elapsed().as_nanos() as u64)?;
            drop(host);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    for (side, times) in sides.iter().zip(&mut times) {
        times.memory = memory_of_one(side, scenario)?;
    }

    let recorders: [Rc<RefCell<Recorder>>; 2] = Default::default();
    let mut hosts = Vec::new();
    for (side, recorder) in sides.iter().zip(&recorders) {
        let mut host = side.host(scenario)?;
        let recorder = recorder.clone();
        host.time_callbacks(Some(Box::new(move |name, time| {
            let time = time.saturating_sub(overhead).as_nanos() as u64;
            recorder.borrow_mut().stream += time;
            recorder.borrow_mut().callbacks.push((name, time));
        })));
        hosts.push(host);
    }
    // Caches fill, branches are learnt.
    for (host, recorder) in hosts.iter_mut().zip(&recorders) {
        round(host, scenario, &mut |_| ())?;
        recorder.take();
    }
    let bar = progress::bar(duration.as_millis() as u64, "measuring");
    let start = Instant::now();
    let mut rounds = 0;
    while rounds == 0 || start.elapsed() < duration {
        // Whichever goes first has the colder caches: they take turns.
        let order = if rounds % 2 == 0 { [0, 1] } else { [1, 0] };
        for index in order {
            let (recorder, times) = (&recorders[index], &mut times[index]);
            round(&mut hosts[index], scenario, &mut |step| {
                let Recorder { stream, callbacks } = recorder.take();
                for (name, time) in callbacks {
                    if let Some(histogram) = entry(&mut times.callbacks, name) {
                        let _ = histogram.record(time);
                    }
                }
                if !matches!(step, Step::Tick(_)) {
                    let _ = times.stream.record(stream);
                }
            })?;
        }
        rounds += 1;
        bar.set_position(start.elapsed().as_millis() as u64);
    }
    bar.finish_and_clear();
    Ok(Measured { sides: times, rounds, overhead })
}

/// What was recorded of one step.
#[derive(Default)]
struct Recorder {
    stream: u64,
    callbacks: Vec<(&'static str, u64)>,
}

fn entry<'a>(
    callbacks: &'a mut BTreeMap<&'static str, Histogram<u64>>,
    name: &'static str,
) -> Option<&'a mut Histogram<u64>> {
    if !callbacks.contains_key(name) {
        callbacks.insert(name, histogram().ok()?);
    }
    callbacks.get_mut(name)
}

fn round(host: &mut MemoryHost, scenario: &Scenario, done: &mut dyn FnMut(&Step)) -> anyhow::Result<()> {
    for step in &scenario.steps {
        drive_step(host, step)?;
        done(step);
        // What the host keeps for those who look must not grow.
        host.take_log();
        host.take_calls();
        host.take_steps();
    }
    Ok(())
}

/// The time between two looks at the clock.
fn overhead() -> Duration {
    let mut times: Vec<Duration> = (0..1000)
        .map(|_| {
            let start = Instant::now();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// Memory of one more VM: the growth of the process by several, some streams through each, divided.
fn memory_of_one(side: &Side, scenario: &Scenario) -> anyhow::Result<Option<u64>> {
    let mut hosts = Vec::new();
    let start = |hosts: &mut Vec<MemoryHost>| -> anyhow::Result<()> {
        let mut host = side.host(scenario)?;
        round(&mut host, scenario, &mut |_| ())?;
        hosts.push(host);
        Ok(())
    };
    // The first few make the allocator take what it needs anyway.
    for _ in 0..4 {
        start(&mut hosts)?;
    }
    let Some(before) = resident() else { return Ok(None) };
    for _ in 0..KEPT {
        start(&mut hosts)?;
    }
    let after = resident().unwrap_or(before);
    Ok(Some(after.saturating_sub(before) / KEPT))
}

/// Memory of this process that no other shares, and its part of what is shared, in bytes.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
