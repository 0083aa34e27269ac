//! Runs many generated streams on several threads, in constant memory.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dynvm_compare::rules::{Applied, Rules};

use crate::failures::Failures;
use crate::generate::Generator;
use crate::lockstep::{CompareError, Divergence, Lockstep, Pair, Started};
use crate::scenario::Scenario;

/// Size of a campaign.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// Total number of streams.
    pub streams: u64,
    /// Streams per pair of VMs before new VMs are started. More than one, to compare state that a
    /// plugin keeps between streams; not unlimited, so that a divergence can be shrunk.
    pub streams_per_vm: u64,
    /// Number of threads.
    pub threads: usize,
}

/// Results of a campaign.
#[derive(Debug, Default)]
pub struct Summary {
    /// Streams run through both builds.
    pub streams: u64,
    /// Compared events: callbacks and hostcalls with their values.
    pub events: u64,
    /// Pairs of VMs that were started.
    pub vms: u64,
    /// Pairs of VMs whose two sides failed in the same way.
    pub failed_alike: u64,
    /// These failures by kind.
    pub failures: Failures,
    /// Number of applications per rule.
    pub applied: Applied,
    /// Duration.
    pub elapsed: Duration,
    /// The first divergence, with the scenario that leads to it.
    pub divergence: Option<(Scenario, Divergence)>,
}

/// State shared by the threads.
struct Shared<'a> {
    pair: &'a Pair,
    generator: &'a Generator,
    rules: Rules,
    campaign: Campaign,
    /// The next run to start.
    next: AtomicU64,
    /// Runs from this number on are cancelled: an earlier one diverged or failed.
    end: AtomicU64,
    progress: &'a (dyn Fn(u64) + Sync),
    done: AtomicU64,
    outcome: Mutex<(Summary, Option<CompareError>)>,
}

/// Runs generated scenarios until enough streams are compared or the builds diverge. `progress`
/// receives the number of finished streams.
///
/// Of several divergences, the one with the lowest number is returned, independent of the number of threads.
///
/// # Errors
///
/// The plugin cannot be started.
pub fn run(
    pair: &Pair,
    generator: &Generator,
    rules: Rules,
    campaign: Campaign,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Summary, CompareError> {
    let started = Instant::now();
    let runs = campaign.streams.div_ceil(campaign.streams_per_vm.max(1));
    let shared = Shared {
        pair,
        generator,
        rules,
        campaign,
        next: AtomicU64::new(0),
        end: AtomicU64::new(runs),
        progress,
        done: AtomicU64::new(0),
        outcome: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for _ in 1..campaign.threads {
            scope.spawn(|| shared.work());
        }
        shared.work();
    });
    let (mut summary, error) = shared.outcome.into_inner().unwrap_or_else(|e| e.into_inner());
    summary.elapsed = started.elapsed();
    match error {
        Some(error) if summary.divergence.is_none() => Err(error),
        _ => Ok(summary),
    }
}

impl Shared<'_> {
    fn work(&self) {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.end.load(Ordering::Relaxed) {
                return;
            }
            let per_vm = self.campaign.streams_per_vm.max(1);
            let streams = per_vm.min(self.campaign.streams - number * per_vm);
            let mut summary = Summary::default();
            let result = self.one(number, streams, &mut summary);
            self.note(number, summary, result.err());
        }
    }

    /// Runs one generated scenario.
    fn one(&self, number: u64, streams: u64, summary: &mut Summary) -> Result<(), CompareError> {
        let scenario = self.generator.scenario(number, streams);
        let mut from = 0;
        while from < scenario.steps.len() {
            from = self.stretch(&scenario, from, summary)?;
            if summary.divergence.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Runs steps through one pair of VMs until both have failed. Returns the index of the next step.
    fn stretch(&self, scenario: &Scenario, from: usize, summary: &mut Summary) -> Result<usize, CompareError> {
        summary.vms += 1;
        let up_to =
            |steps: std::ops::Range<usize>| Scenario { steps: scenario.steps[steps].to_vec(), ..scenario.clone() };
        let mut lockstep = match Lockstep::start(self.pair, scenario, self.rules)? {
            Started::Running(lockstep) => lockstep,
            Started::Diverged(divergence) => {
                summary.divergence = Some((up_to(0..0), *divergence));
                return Ok(from);
            }
        };
        let mut next = from;
        let mut divergence = None;
        for step in &scenario.steps[from..] {
            divergence = lockstep.step(next - from, step)?;
            summary.streams += step.streams();
            next += 1;
            if divergence.is_some() || lockstep.has_failed() {
                break;
            }
        }
        if divergence.is_none() && lockstep.has_failed() {
            summary.failed_alike += 1;
            summary.failures.extend(lockstep.common_failure());
        }
        summary.events += lockstep.events();
        summary.applied.add(lockstep.applied());
        summary.divergence = divergence.map(|divergence| (up_to(from..next), divergence));
        Ok(next)
    }

    fn note(&self, number: u64, of_run: Summary, error: Option<CompareError>) {
        let done = self.done.fetch_add(of_run.streams, Ordering::Relaxed) + of_run.streams;
        (self.progress)(done);
        let mut outcome = self.outcome.lock().unwrap_or_else(|e| e.into_inner());
        let (summary, failed) = &mut *outcome;
        summary.streams += of_run.streams;
        summary.events += of_run.events;
        summary.vms += of_run.vms;
        summary.failed_alike += of_run.failed_alike;
        summary.failures.extend(of_run.failures.into_list());
        summary.applied.add(&of_run.applied);
        let is_end = of_run.divergence.is_some() || error.is_some();
        if is_end && self.end.fetch_min(number, Ordering::Relaxed) > number {
            summary.divergence = of_run.divergence;
            *failed = error;
        }
    }
}
