//! Runs both builds one step at a time and compares as they go.

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

/// Two builds of a plugin: usually native and wasm, in this order; any two can be compared.
#[derive(Clone)]
pub struct Pair {
    /// The first build.
    pub native: Module,
    /// The second build.
    pub wasm: Module,
}

/// Why a comparison was not possible, or could not continue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// Neither build starts, or one cannot be loaded.
    #[error(transparent)]
    Start(#[from] NotStarted),
    /// The plugin was stopped.
    #[error(transparent)]
    Call(#[from] dynvm::CallError),
}

/// The point where two builds diverge.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// Index of the step; `None`: the start of the plugin.
    pub step: Option<usize>,
    /// The first difference.
    pub found: Found,
    /// Traces of the step as lines: native, wasm.
    pub lines: [Vec<Line>; 2],
}

type StepTrace = Trace<Observation>;

/// One of the two builds.
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

/// Result of starting both builds.
pub enum Started {
    /// Both are running.
    Running(Box<Lockstep>),
    /// They diverge before the first step.
    Diverged(Box<Divergence>),
}

/// Number of events within one tick after which traces are compared, to bound their size.
const EVENTS_AT_ONCE: usize = 2_000;

impl Lockstep {
    /// Starts both builds with a scenario's configuration, and compares their traces.
    ///
    /// # Errors
    ///
    /// Neither starts, or one cannot be loaded.
    pub fn start(pair: &Pair, scenario: &Scenario, rules: Rules) -> Result<Started, CompareError> {
        Lockstep::start_each(pair, [scenario, scenario], rules)
    }

    /// The same with separate configurations.
    pub(crate) fn start_each(
        pair: &Pair,
        [first, second]: [&Scenario; 2],
        rules: Rules,
    ) -> Result<Started, CompareError> {
        let [native, wasm] = [Side::start(&pair.native, first), Side::start(&pair.wasm, second)];
        let (native, wasm) = match (native, wasm) {
            (Ok(native), Ok(wasm)) => (native, wasm),
            (Err(error), Err(_)) => return Err(error.into()),
            // Not a difference in behavior: no code of that build has run.
            (Err(error), _) | (_, Err(error)) if error.is_unloadable() => return Err(error.into()),
            (native, wasm) => return Ok(Started::Diverged(Box::new(only_one_starts(native.err(), wasm.err())))),
        };
        let mut lockstep = Lockstep { sides: [native, wasm], rules, applied: Applied::default(), events: 0 };
        Ok(match lockstep.compare(None, Observation::Start, Observation::Start) {
            Some(divergence) => Started::Diverged(Box::new(divergence)),
            None => Started::Running(Box::new(lockstep)),
        })
    }

    /// Runs both builds through a step and compares their traces.
    ///
    /// # Errors
    ///
    /// The plugin was stopped.
    pub fn step(&mut self, index: usize, step: &Step) -> Result<Option<Divergence>, CompareError> {
        if let Step::Tick(milliseconds) = step {
            return Ok(self.tick(index, Duration::from_millis(*milliseconds)));
        }
        let [native, wasm] = &mut self.sides;
        let results = [drive_step(&mut native.host, step)?, drive_step(&mut wasm.host, step)?];
        let [native, wasm] = results;
        Ok(self.compare(Some(index), native, wasm))
    }

    /// Moves the clock from one due event to the next; a short tick period causes many.
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

    /// Whether both VMs have failed, so that nothing more can happen.
    pub fn has_failed(&self) -> bool {
        self.sides.iter().all(|side| side.failed)
    }

    /// Failures of the VMs: native, wasm.
    pub fn failures(&mut self) -> [Option<String>; 2] {
        let [a, b] = &mut self.sides;
        [a, b].map(|side| side.host.failure().map(|failure| failure.message))
    }

    /// The failure of both sides in the last step; `None` if a side did not fail in it.
    pub fn common_failure(&self) -> Option<CommonFailure> {
        CommonFailure::of(self.traces())
    }

    /// Number of applications per rule.
    pub fn applied(&self) -> &Applied {
        &self.applied
    }

    /// Number of compared events.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Traces of the last step: native, wasm.
    pub fn traces(&self) -> [&Trace<Observation>; 2] {
        [&self.sides[0].trace, &self.sides[1].trace]
    }

    /// Calls that the plugin made in the last step.
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

    /// Collects the trace of a step from the host.
    fn see(&mut self, result: Observation) {
        let trace = &mut self.trace;
        self.recorder.take_into(&mut trace.events);
        trace.result = result;
        trace.set_log(self.host.take_log());
        trace.metrics = trace.touches_metrics().then(|| self.host.metrics());
        let failure = self.host.failure();
        // Report a failure once.
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

/// Result of a whole scenario.
pub struct Outcome {
    /// Number of compared steps, including the start.
    pub steps: usize,
    /// The divergence, if any.
    pub divergence: Option<Divergence>,
    /// Failures of the VMs: native, wasm.
    pub failures: [Option<String>; 2],
    /// The failure that both builds share.
    pub common_failure: Option<CommonFailure>,
    /// Number of applications per rule.
    pub applied: Applied,
    /// Upstreams of HTTP calls for which the scenario has no answer.
    pub unanswered: Vec<String>,
}

/// Runs both builds through a scenario, up to the first divergence.
///
/// # Errors
///
/// Neither build starts, or the plugin was stopped.
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
