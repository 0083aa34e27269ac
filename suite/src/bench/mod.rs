//! Benchmarks of a suite: both builds of a plugin in turns, since machines change their mind.
//!
//! | row | what is timed |
//! |---|---|
//! | `PluginLifecycle` | a plugin in a running VM: create, start, configure, done, delete |
//! | `StreamLifecycle` | a stream: create, done, delete |
//! | a test's name | the callbacks of its phases on a new stream, without creating and deleting it |
//!
//! No message is kept but critical ones. Expectations are not looked at.

mod background;
mod measure;
mod subject;

use std::time::Duration;

use dynvm::BackendKind;

use crate::model::Test;
use crate::{Filter, Runner};
pub use measure::Times;
use subject::{Handlers, PluginLifecycle, StreamLifecycle, Subject};

/// A benchmark that was run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Bench {
    /// `PluginLifecycle`, `StreamLifecycle`, or a test's name.
    pub name: String,
    /// What came of it, for each engine.
    pub sides: Vec<Side>,
}

/// A benchmark with one engine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Side {
    /// The engine.
    pub engine: BackendKind,
    /// What was measured, or why not.
    pub result: Result<Figures, String>,
}

/// Figures of one benchmark.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Figures {
    /// Times of rounds.
    pub times: Times,
    /// Bytes of memory that the VM holds at the end, where that is known.
    pub memory: Option<u64>,
    /// Bytes of messages of one round, with those that are not kept.
    pub log_bytes: u64,
    /// Messages of one round, with those that are not kept.
    pub log_entries: u64,
    /// Bytes of the artifact.
    pub artifact_bytes: u64,
}

impl Bench {
    /// Its id for an engine: `Bench_<engine>.<name>`.
    pub fn id(&self, engine: BackendKind) -> String {
        id(engine, &self.name)
    }

    /// The figures of an engine.
    pub fn figures(&self, engine: BackendKind) -> Option<&Figures> {
        self.sides.iter().find(|side| side.engine == engine)?.result.as_ref().ok()
    }

    /// The median of native over that of wasm: below 1 native is faster. `None` unless both were measured.
    pub fn ratio(&self) -> Option<f64> {
        let median = |engine| self.figures(engine).map(|figures| figures.times.median_ns.max(1) as f64);
        Some(median(BackendKind::Native)? / median(BackendKind::Wasm)?)
    }
}

fn id(engine: BackendKind, name: &str) -> String {
    format!("Bench_{engine}.{name}")
}

/// Makes a benchmark's subject for a runner and, for a test's, the test.
type NewSubject = for<'r> fn(&'r Runner<'_>, &Test) -> Result<Box<dyn Subject + 'r>, String>;

/// Runs the benchmarks of a suite, all runners of one suite, each for so long with each engine, and hands each on as it is done.
///
/// The lifecycles come first, if any test is a benchmark.
pub fn run(runners: &[Runner<'_>], filter: &Filter, time: Duration, mut done: impl FnMut(Bench)) {
    let Some(runner) = runners.first() else { return };
    let mut tests = runner.suite.tests.iter().filter(|test| test.benchmark).peekable();
    let Some(first) = tests.peek().copied() else { return };
    let lifecycles: [(&str, NewSubject); 2] = [
        ("PluginLifecycle", |runner, _| Ok(Box::new(PluginLifecycle::new(runner)?))),
        ("StreamLifecycle", |runner, test| Ok(Box::new(StreamLifecycle::new(runner, test)?))),
    ];
    let handlers: NewSubject = |runner, test| Ok(Box::new(Handlers::new(runner, test)?));
    let lifecycles = lifecycles.into_iter().map(|(name, new)| (name, first, new));
    for (name, test, new) in lifecycles.chain(tests.map(|test| (test.name.as_str(), test, handlers))) {
        let runners: Vec<_> = runners.iter().filter(|runner| filter.takes(&id(runner.engine(), name), name)).collect();
        if !runners.is_empty() {
            let subjects = runners.iter().map(|runner| new(runner, test)).collect();
            let results = measure::measure(subjects, time);
            let sides = runners.iter().zip(results).map(|(runner, result)| Side { engine: runner.engine(), result });
            done(Bench { name: name.to_owned(), sides: sides.collect() });
        }
    }
}
