//! The plugin's callbacks under the scenario's traffic.

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

/// Into how many blocks the time is cut.
const BLOCKS: u32 = 60;

/// Times in the plugin, that of taking the time subtracted.
pub struct Traffic {
    /// Passes through all steps, of each side.
    pub passes: u64,
    /// How long it was warmed up.
    pub warm_up: Duration,
    /// A pass: all callbacks of all steps.
    pub pass: Pair,
    /// A stream: all its callbacks.
    pub stream: Pair,
    /// Each step of the scenario, by its title.
    pub steps: Vec<(String, Pair)>,
    /// Each callback, in the order in which they are first made.
    pub callbacks: Vec<(&'static str, Pair)>,
    /// How the streams of a pass end, by outcome: `200 by the upstream`, and how many do. Those of the last pass.
    pub outcomes: BTreeMap<String, u64>,
    /// Steps that ended otherwise in the last pass than in the first, with how: a plugin that counts in a variable begins to refuse, say.
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

/// What one step's callbacks took, taking the time included.
pub type Recorded = Vec<(&'static str, u64)>;

/// A host that notes how long each callback took.
pub struct TimedHost {
    pub host: SimProxy,
    /// The state in which each pass begins.
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

    /// Goes back to the state at the start of the plugin.
    pub fn rewind(&mut self) {
        self.host.restore(&self.start);
    }

    /// The time of all callbacks since this was last asked.
    pub fn take_total(&self, clock: &Clock) -> u64 {
        total(&self.recorder.take(), clock)
    }
}

/// The time of all callbacks together. It is exact to a part of the clock's steps, since what these round up and down evens out.
fn total(recorded: &Recorded, clock: &Clock) -> u64 {
    clock.without_overhead(recorded.iter().map(|(_, time)| time).sum(), recorded.len())
}

/// Caches fill, branches are learnt: at least one pass of each.
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

    /// Notes what a step took, and returns how much that is.
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

/// How each step of a pass ends, in a word or two.
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
