//! Both builds, a step at a time, compared as they go.

use std::time::Duration;

use dynvm::Module;
use dynvm_compare::Found;
use dynvm_compare::difference::first_difference;
use dynvm_compare::line::{Line, lines, pass_over};
use dynvm_compare::rules::{Applied, Rules};
use dynvm_compare::trace::{Recorder, StepTrace as Trace};
use dynvm_sim::{MadeCall, SimProxy};

use crate::failures::CommonFailure;
use crate::scenario::{Observation, Scenario, Step, drive_step};
use crate::start::{NotStarted, start};

/// Two builds of a plugin. Usually the native one and the wasm one, in this order; any two can be compared.
#[derive(Clone)]
pub struct Pair {
    /// The first.
    pub native: Module,
    /// The second.
    pub wasm: Module,
}

/// Why a comparison could not be made. Nothing was compared then, or no more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// Neither build starts, or one cannot be loaded.
    #[error(transparent)]
    Start(#[from] NotStarted),
    /// The plugin has been stopped.
    #[error(transparent)]
    Call(#[from] dynvm::CallError),
}

/// Where two builds part.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// The step's index; `None`: the start of the plugin.
    pub step: Option<usize>,
    /// What differs first.
    pub found: Found,
    /// What both did in that step: native, wasm.
    pub lines: [Vec<Line>; 2],
}

type StepTrace = Trace<Observation>;

/// One of the two.
struct Side {
    host: SimProxy,
    recorder: Recorder,
    trace: StepTrace,
    failed: bool,
    calls: Vec<MadeCall>,
}

/// Two running builds.
pub struct Lockstep {
    sides: [Side; 2],
    rules: Rules,
    applied: Applied,
    events: u64,
}

/// What starting both gave.
pub enum Started {
    /// Both run.
    Running(Box<Lockstep>),
    /// They part before the first step.
    Diverged(Box<Divergence>),
}

/// Events of one tick after which what was seen is compared, so that traces stay small.
const EVENTS_AT_ONCE: usize = 2_000;

impl Lockstep {
    /// Starts both with a scenario's configuration, and compares what was seen.
    ///
    /// # Errors
    ///
    /// Neither starts, or one cannot be loaded.
    pub fn start(pair: &Pair, scenario: &Scenario, rules: Rules) -> Result<Started, CompareError> {
        Lockstep::start_each(pair, [scenario, scenario], rules)
    }

    /// The same with a configuration for each.
    pub(crate) fn start_each(
        pair: &Pair,
        [first, second]: [&Scenario; 2],
        rules: Rules,
    ) -> Result<Started, CompareError> {
        let [native, wasm] = [Side::start(&pair.native, first), Side::start(&pair.wasm, second)];
        let (native, wasm) = match (native, wasm) {
            (Ok(native), Ok(wasm)) => (native, wasm),
            (Err(error), Err(_)) => return Err(error.into()),
            // Not a difference in behaviour: nothing of that build has run.
            (Err(error), _) | (_, Err(error)) if error.is_unloadable() => return Err(error.into()),
            (native, wasm) => return Ok(Started::Diverged(Box::new(only_one_starts(native.err(), wasm.err())))),
        };
        let mut lockstep = Lockstep { sides: [native, wasm], rules, applied: Applied::default(), events: 0 };
        Ok(match lockstep.compare(None, Observation::Start, Observation::Start) {
            Some(divergence) => Started::Diverged(Box::new(divergence)),
            None => Started::Running(Box::new(lockstep)),
        })
    }

    /// Takes both through a step and compares what was seen.
    ///
    /// # Errors
    ///
    /// The plugin has been stopped.
    pub fn step(&mut self, index: usize, step: &Step) -> Result<Option<Divergence>, CompareError> {
        if let Step::Tick(milliseconds) = step {
            return Ok(self.tick(index, Duration::from_millis(*milliseconds)));
        }
        let [native, wasm] = &mut self.sides;
        let results = [drive_step(&mut native.host, step)?, drive_step(&mut wasm.host, step)?];
        let [native, wasm] = results;
        Ok(self.compare(Some(index), native, wasm))
    }

    /// Moves the clock from one thing that falls due to the next: with a short period many do.
    fn tick(&mut self, index: usize, by: Duration) -> Option<Divergence> {
        let mut left = by;
        loop {
            while self.sides[0].recorder.len() < EVENTS_AT_ONCE {
                let due = self.sides.iter().filter_map(|side| side.host.next_event_in()).min();
                let Some(due) = due.filter(|due| *due <= left) else {
                    self.advance(left);
                    return self.compare(Some(index), Observation::Tick, Observation::Tick);
                };
                self.advance(due);
                left -= due;
            }
            let divergence = self.compare(Some(index), Observation::Tick, Observation::Tick);
            if divergence.is_some() {
                return divergence;
            }
        }
    }

    fn advance(&mut self, by: Duration) {
        for side in &mut self.sides {
            side.host.advance(by);
        }
    }

    fn compare(&mut self, step: Option<usize>, native: Observation, wasm: Observation) -> Option<Divergence> {
        let [a, b] = &mut self.sides;
        a.see(native);
        b.see(wasm);
        self.events += a.trace.events.len() as u64;
        let found = first_difference(&a.trace, &b.trace, &self.rules, &mut self.applied)?;
        let mut lines = [lines(&a.trace), lines(&b.trace)];
        pass_over(&a.trace, &b.trace, &mut lines, &self.rules);
        Some(Divergence { step, found, lines })
    }

    /// Whether both VMs have failed, so that there is nothing more to see.
    pub fn has_failed(&self) -> bool {
        self.sides.iter().all(|side| side.failed)
    }

    /// How the VMs failed, if they have: native, wasm.
    pub fn failures(&mut self) -> [Option<String>; 2] {
        let [a, b] = &mut self.sides;
        [a, b].map(|side| side.host.failure().map(|failure| failure.message))
    }

    /// The failure of both in the last step; `None`: a side did not fail in it.
    pub fn common_failure(&self) -> Option<CommonFailure> {
        CommonFailure::of(self.traces())
    }

    /// How often rules were applied.
    pub fn applied(&self) -> &Applied {
        &self.applied
    }

    /// How many events were compared.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// What was seen of the last step: native, wasm.
    pub fn traces(&self) -> [&Trace<Observation>; 2] {
        [&self.sides[0].trace, &self.sides[1].trace]
    }

    /// The calls that the plugin made in the last step.
    pub fn calls(&self) -> &[MadeCall] {
        &self.sides[0].calls
    }
}

impl Side {
    fn start(module: &Module, scenario: &Scenario) -> Result<Side, NotStarted> {
        let recorder = Recorder::default();
        let host = start(scenario.host(), module, Some(recorder.tracer()))?;
        Ok(Side { host, recorder, trace: StepTrace::default(), failed: false, calls: Vec::new() })
    }

    /// Takes what the host has noted of a step.
    fn see(&mut self, result: Observation) {
        let trace = &mut self.trace;
        self.recorder.take_into(&mut trace.events);
        trace.result = result;
        trace.set_log(self.host.take_log());
        trace.metrics = trace.touches_metrics().then(|| self.host.metrics());
        let failure = self.host.failure();
        // Told once.
        trace.failure = failure.filter(|_| !self.failed).map(|failure| failure.message);
        self.failed = self.host.vm().has_failed();
        self.calls = self.host.take_calls();
        self.host.take_steps();
    }
}

fn only_one_starts(native: Option<NotStarted>, wasm: Option<NotStarted>) -> Divergence {
    let sides = [native, wasm];
    let values = sides
        .each_ref()
        .map(|side| side.as_ref().map_or_else(|| "it starts".to_owned(), |side| dynvm::with_causes(&side.error)));
    let lines = sides.map(|side| {
        let text = side.map_or_else(|| "it starts".to_owned(), |side| side.to_string());
        text.lines().map(|line| Line { key: line.to_owned(), text: line.to_owned() }).collect()
    });
    Divergence { step: None, found: Found { aspect: "start of the plugin".to_owned(), values }, lines }
}

/// What a whole scenario gave.
pub struct Outcome {
    /// Steps that were compared, the start among them.
    pub steps: usize,
    /// Where the builds part.
    pub divergence: Option<Divergence>,
    /// How the VMs failed, if they did: native, wasm.
    pub failures: [Option<String>; 2],
    /// The failure that both have in common.
    pub common_failure: Option<CommonFailure>,
    /// How often rules were applied.
    pub applied: Applied,
    /// Upstreams of HTTP calls for which the scenario has no answer.
    pub unanswered: Vec<String>,
}

/// Takes both builds through a scenario, up to the first divergence.
///
/// # Errors
///
/// Neither starts, or the plugin has been stopped.
pub fn run(pair: &Pair, scenario: &Scenario, rules: Rules) -> Result<Outcome, CompareError> {
    let none = Outcome {
        steps: 1,
        divergence: None,
        failures: [None, None],
        common_failure: None,
        applied: Applied::default(),
        unanswered: Vec::new(),
    };
    let mut lockstep = match Lockstep::start(pair, scenario, rules)? {
        Started::Running(lockstep) => lockstep,
        Started::Diverged(divergence) => return Ok(Outcome { divergence: Some(*divergence), ..none }),
    };
    let mut outcome = none;
    outcome.unanswered.extend(unanswered(&lockstep, scenario));
    for (index, step) in scenario.steps.iter().enumerate() {
        outcome.divergence = lockstep.step(index, step)?;
        outcome.steps += 1;
        outcome.unanswered.extend(unanswered(&lockstep, scenario));
        if outcome.divergence.is_some() {
            break;
        }
        outcome.common_failure = outcome.common_failure.or_else(|| lockstep.common_failure());
    }
    outcome.unanswered.sort();
    outcome.unanswered.dedup();
    outcome.failures = lockstep.failures();
    outcome.applied = *lockstep.applied();
    Ok(outcome)
}

fn unanswered(lockstep: &Lockstep, scenario: &Scenario) -> Vec<String> {
    let upstreams = lockstep.calls().iter().filter_map(|call| match call {
        MadeCall::Http(call) => Some(String::from_utf8_lossy(&call.upstream).into_owned()),
        _ => None,
    });
    upstreams.filter(|upstream| !scenario.http_calls.iter().any(|known| known.upstream == *upstream)).collect()
}
