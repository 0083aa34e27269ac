//! Times of the plugin's callbacks under the scenario's traffic.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use dynvm_sim::{Checkpoint, Outcome, SimProxy};
use indicatif::ProgressBar;

use super::clock::Clock;
use super::interleave::Turns;
use super::samples::Pair;
use super::{forget, pass};
use crate::ab::Side;
use crate::scenario::{Observation, Scenario, Step, drive_step};

/// Number of blocks.
const BLOCKS: u32 = 60;

/// Times in the plugin, with timer overhead subtracted.
pub struct Traffic {
    /// Passes through all steps, per side.
    pub passes: u64,
    /// Duration of the warm-up.
    pub warm_up: Duration,
    /// Per pass: all callbacks of all steps.
    pub pass: Pair,
    /// Per stream: all its callbacks.
    pub stream: Pair,
    /// Per step of the scenario, by title.
    pub steps: Vec<(String, Pair)>,
    /// Per callback, in the order of first occurrence.
    pub callbacks: Vec<(&'static str, Pair)>,
    /// Number of streams by outcome, e.g. `200 by the upstream`, in the last pass.
    pub outcomes: BTreeMap<String, u64>,
    /// Steps whose outcome changed between the first and the last pass, e.g. because the plugin
    /// counts in a variable and begins to refuse.
    pub changed: Vec<String>,
}

pub fn measure(
    sides: &[Side; 2],
    scenario: &Scenario,
    time: Duration,
    clock: &Clock,
    bar: &ProgressBar,
) -> anyhow::Result<Traffic> {
    let mut hosts = [TimedHost::start(&sides[0], scenario)?, TimedHost::start(&sides[1], scenario)?];
    let before = outcomes(&mut hosts[0], scenario)?;
    let warm_up = warm_up(&mut hosts, scenario, time / 10)?;

    let mut times = Times::new(scenario, clock)?;
    let turns = Turns { time, blocks: BLOCKS, bar };
    let shared = RefCell::new(&mut times);
    let passes = turns.take(
        2,
        &mut |side| {
            let TimedHost { host, start, recorder } = &mut hosts[side];
            let mut total = 0;
            let mut times = shared.borrow_mut();
            pass(host, start, scenario, &mut |index, step| {
                total += times.record(side, index, step, &recorder.take());
            })?;
            times.pass.sides[side].record(total);
            Ok(())
        },
        &mut || shared.borrow_mut().end_block(),
    )?;
    let after = outcomes(&mut hosts[0], scenario)?;
    let changed = before.iter().zip(&after).zip(&scenario.steps).filter(|((before, after), _)| before != after);
    let changed = changed.map(|((before, after), step)| format!("{}: {before}, then {after}", step.title()));
    let changed = changed.collect();
    let mut ends = BTreeMap::new();
    for (outcome, _) in after.iter().zip(&scenario.steps).filter(|(_, step)| !matches!(step, Step::Tick(_))) {
        *ends.entry(outcome.clone()).or_default() += 1;
    }
    let Times { pass, stream, steps, callbacks, .. } = times;
    let steps = scenario.steps.iter().map(Step::title).zip(steps).collect();
    Ok(Traffic { passes, warm_up, pass, stream, steps, callbacks, outcomes: ends, changed })
}

/// Times of one step's callbacks, including timer overhead.
pub type Recorded = Vec<(&'static str, u64)>;

/// A host that records the duration of each callback.
pub struct TimedHost {
    pub host: SimProxy,
    /// State in which each pass begins.
    start: Checkpoint,
    pub recorder: Rc<RefCell<Recorded>>,
}

impl TimedHost {
    pub fn start(side: &Side, scenario: &Scenario) -> anyhow::Result<TimedHost> {
        let mut host = side.host(scenario)?;
        let recorder: Rc<RefCell<Recorded>> = Rc::default();
        let into = recorder.clone();
        host.time_callbacks(Some(Box::new(move |name, time| {
            into.borrow_mut().push((name, time.as_nanos() as u64));
        })));
        forget(&host);
        let start = host.checkpoint();
        Ok(TimedHost { host, start, recorder })
    }

    /// Restores the state after the plugin's start.
    pub fn rewind(&mut self) {
        self.host.restore(&self.start);
    }

    /// Total time of all callbacks since the last call.
    pub fn take_total(&self, clock: &Clock) -> u64 {
        total(&self.recorder.take(), clock)
    }
}

/// Total time of the callbacks. More precise than the clock's resolution, because rounding errors average out.
fn total(recorded: &Recorded, clock: &Clock) -> u64 {
    clock.without_overhead(recorded.iter().map(|(_, time)| time).sum(), recorded.len())
}

/// Fills caches and trains branch predictors: at least one pass per side.
fn warm_up(hosts: &mut [TimedHost; 2], scenario: &Scenario, time: Duration) -> anyhow::Result<Duration> {
    let start = Instant::now();
    loop {
        for TimedHost { host, start, recorder } in hosts.iter_mut() {
            pass(host, start, scenario, &mut |_, _| ())?;
            recorder.take();
        }
        if start.elapsed() >= time {
            return Ok(start.elapsed());
        }
    }
}

struct Times<'a> {
    clock: &'a Clock,
    pass: Pair,
    stream: Pair,
    steps: Vec<Pair>,
    callbacks: Vec<(&'static str, Pair)>,
}

impl<'a> Times<'a> {
    fn new(scenario: &Scenario, clock: &'a Clock) -> anyhow::Result<Times<'a>> {
        let steps = scenario.steps.iter().map(|_| Pair::new(clock)).collect::<anyhow::Result<_>>()?;
        Ok(Times { clock, pass: Pair::new(clock)?, stream: Pair::new(clock)?, steps, callbacks: Vec::new() })
    }

    /// Records the times of a step and returns their sum.
    fn record(&mut self, side: usize, index: usize, step: &Step, recorded: &Recorded) -> u64 {
        for (name, time) in recorded {
            let time = self.clock.without_overhead(*time, 1);
            if let Some(callback) = self.callback(name) {
                callback.sides[side].record(time);
            }
        }
        let total = total(recorded, self.clock);
        self.steps[index].sides[side].record(total);
        if !matches!(step, Step::Tick(_)) {
            self.stream.sides[side].record(total);
        }
        total
    }

    fn callback(&mut self, name: &'static str) -> Option<&mut Pair> {
        let index = match self.callbacks.iter().position(|(known, _)| *known == name) {
            Some(index) => index,
            None => {
                self.callbacks.push((name, Pair::new(self.clock).ok()?));
                self.callbacks.len() - 1
            }
        };
        Some(&mut self.callbacks[index].1)
    }

    fn end_block(&mut self) {
        let callbacks = self.callbacks.iter_mut().map(|(_, pair)| pair);
        [&mut self.pass, &mut self.stream]
            .into_iter()
            .chain(&mut self.steps)
            .chain(callbacks)
            .for_each(Pair::end_block);
    }
}

/// Short description of how each step of a pass ends.
fn outcomes(timed: &mut TimedHost, scenario: &Scenario) -> anyhow::Result<Vec<String>> {
    timed.rewind();
    let TimedHost { host, .. } = timed;
    let mut outcomes = Vec::new();
    for step in &scenario.steps {
        let outcome = match drive_step(host, step)? {
            Observation::Http(exchange) => {
                let status = exchange.response.status().map_or("no response".to_owned(), |status| status.to_string());
                let by = if exchange.outcome == Outcome::Upstream { "upstream" } else { "plugin" };
                format!("{status} by the {by}")
            }
            Observation::Tcp(exchange) if exchange.closed => "closed".to_owned(),
            _ => "passed".to_owned(),
        };
        outcomes.push(outcome);
        forget(host);
    }
    Ok(outcomes)
}
