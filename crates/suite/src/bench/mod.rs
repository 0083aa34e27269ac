//! Benchmarks of a suite: builds are interleaved, because machine speed drifts.
//!
//! | row | timed part |
//! |---|---|
//! | `PluginLifecycle` | a plugin in a running VM: create, start, configure, done, delete |
//! | `StreamLifecycle` | a stream: create, done, delete |
//! | a test's name | the callbacks of its phases on a new stream, without creating and deleting it |
//!
//! Only critical log messages are kept. Expectations are not checked.

mod background;
mod measure;
mod subject;

use std::time::Duration;

use dynvm::BackendKind;

use crate::model::Test;
use crate::{Filter, Runner};
pub use measure::Times;
use subject::{Handlers, PluginLifecycle, StreamLifecycle, Subject};

/// Result of a benchmark.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Bench {
    /// `PluginLifecycle`, `StreamLifecycle`, or a test's name.
    pub name: String,
    /// Results per engine.
    pub sides: Vec<Side>,
}

/// Result of a benchmark on one engine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Side {
    /// The engine.
    pub engine: BackendKind,
    /// The measurement, or the reason of its failure.
    pub result: Result<Figures, String>,
}

/// Measurements of one benchmark.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Figures {
    /// Times of the rounds.
    pub times: Times,
    /// Memory of the VM at the end in bytes, if known.
    pub memory: Option<u64>,
    /// Bytes logged per round, including discarded messages.
    pub log_bytes: u64,
    /// Messages logged per round, including discarded messages.
    pub log_entries: u64,
    /// Size of the artifact in bytes.
    pub artifact_bytes: u64,
}

impl Bench {
    /// Id for an engine: `Bench_<engine>.<name>`.
    pub fn id(&self, engine: BackendKind) -> String {
        id(engine, &self.name)
    }

    /// The measurements on an engine.
    pub fn figures(&self, engine: BackendKind) -> Option<&Figures> {
        self.sides.iter().find(|side| side.engine == engine)?.result.as_ref().ok()
    }

    /// Ratio of medians, native to wasm: below 1, native is faster. `None` unless both were measured.
    pub fn ratio(&self) -> Option<f64> {
        let median = |engine| self.figures(engine).map(|figures| figures.times.median_ns.max(1) as f64);
        Some(median(BackendKind::Native)? / median(BackendKind::Wasm)?)
    }
}

fn id(engine: BackendKind, name: &str) -> String {
    format!("Bench_{engine}.{name}")
}

/// Creates a benchmark's subject for a runner and, for a handler benchmark, the test.
type NewSubject = for<'r> fn(&'r Runner<'_>, &Test) -> Result<Box<dyn Subject + 'r>, String>;

/// Runs the benchmarks of a suite on all runners, for `time` on each engine, and passes each result
/// on when it is ready.
///
/// The lifecycle benchmarks come first, if any test is a benchmark.
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

#[cfg(all(test, feature = "wasm"))]
mod tests {
    use super::*;
    use crate::{Format, Suite};

    /// Traps unless the one-byte chunk, and only that chunk, ends the stream.
    const ENDS_WITH_ONE_BYTE: &[u8] = br#"(module
        (func (export "proxy_abi_version_0_2_1"))
        (func $check (export "proxy_on_request_body") (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
            (if (i32.ne (local.get 2) (i32.eq (local.get 1) (i32.const 1))) (then unreachable))
            (i32.const 0)))"#;

    #[test]
    fn the_stream_ends_with_the_last_chunk_of_all_parts() {
        let suite = |last: &str| {
            let part =
                |direction: &str, content: &str| format!("{direction}_body {{ input {{ content: '{content}' }} }}");
            let body = |direction: &str| part(direction, "aa") + &part(direction, last);
            let text = format!(
                "env {{ num_additional_streams: 2 }} test {{ name: 't' benchmark: true {} {} }}",
                body("request"),
                body("response")
            );
            Suite::parse(&text, Format::TextProto, "suite").unwrap()
        };
        for (last, works) in [("b", true), ("bb", false)] {
            let suite = suite(last);
            let module = dynvm::Loader::new().unwrap().load_bytes("plugin", ENDS_WITH_ONE_BYTE).unwrap();
            let runner = Runner::new(&suite, module).unwrap();
            let mut done = Vec::new();
            run(&[runner], &Filter::new("t"), Duration::ZERO, |bench| done.push(bench));
            assert_eq!(done[0].sides[0].result.is_ok(), works, "{:?}", done[0].sides);
        }
    }
}
