//! Results of tests.

use std::fmt;
use std::time::Duration;

use dynvm::BackendKind;
use dynvm::abi::types::{LogLevel, Status};
use dynvm::call_trace::{Event, Value};
use dynvm_compare::Found;
use dynvm_compare::difference::first_difference;
use dynvm_compare::rules::{Applied, Rules};
use dynvm_compare::text::exact;
use dynvm_compare::trace::{Aspect, StepTrace};

/// The result of one test.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TestResult {
    /// Name of the test.
    pub name: String,
    /// The engine that ran it.
    pub engine: BackendKind,
    /// Failed expectations; empty if the test passed.
    pub failures: Vec<Failure>,
    /// Observed behavior, step by step.
    pub observed: Vec<Observed>,
    /// Duration, including the start of the VM.
    pub time: Duration,
}

impl TestResult {
    /// Id: `Test_<engine>.<name>`.
    pub fn id(&self) -> String {
        format!("Test_{}.{}", self.engine, self.name)
    }

    /// Whether all expectations were met.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// A failed expectation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Step by its name in the suite: `plugin_init`, `request_headers`, ...
    pub phase: &'static str,
    /// Expected and actual value.
    pub message: String,
}

/// Observed behavior of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Observed {
    /// Step by its name in the suite.
    pub phase: &'static str,
    /// The plugin's return value of a headers callback.
    pub status: Option<&'static str>,
    /// Headers after the callback, or those of the local response.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Body after the callback, or that of the local response.
    pub body: Vec<u8>,
    /// A local response: HTTP status, gRPC status, details.
    pub local_response: Option<(u32, u32, Vec<u8>)>,
    /// Recorded log messages.
    pub log: Vec<(LogLevel, Vec<u8>)>,
}

/// A difference between two runs of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Step by its name in the suite.
    pub phase: &'static str,
    /// The difference.
    pub found: Found,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Found { aspect, values: [native, wasm] } = &self.found;
        write!(f, "{}: {aspect}: native {native}, wasm {wasm}", self.phase)
    }
}

/// The first difference between two runs of a test, by the rules of `dynvm ab`. Failed expectations are not compared.
///
/// Every log message counts as `proxy_log`: suites do not separate output from messages.
pub fn difference(native: &[Observed], wasm: &[Observed], rules: &Rules, applied: &mut Applied) -> Option<Difference> {
    for (a, b) in native.iter().zip(wasm) {
        if let Some(found) = first_difference(&trace(a), &trace(b), rules, applied) {
            return Some(Difference { phase: a.phase, found });
        }
    }
    let first_missing = native.get(wasm.len()).or_else(|| wasm.get(native.len()))?;
    let steps = |seen: &[Observed]| format!("{} steps", seen.len());
    let found = Found { aspect: "length of the test".to_owned(), values: [steps(native), steps(wasm)] };
    Some(Difference { phase: first_missing.phase, found })
}

fn trace(seen: &Observed) -> StepTrace<Vec<Aspect>> {
    let mut trace = StepTrace::<Vec<Aspect>>::default();
    let mut line = |aspect: String, value: String| trace.result.push((aspect, value));
    line("status".to_owned(), seen.status.unwrap_or("none").to_owned());
    if let Some((status, grpc_status, details)) = &seen.local_response {
        line("local response".to_owned(), format!("{status}, gRPC status {grpc_status}, \"{}\"", exact(details)));
    }
    for (name, value) in &seen.headers {
        line(format!("header {}", exact(name)), exact(value));
    }
    line("body".to_owned(), exact(&seen.body));
    trace.events = seen.log.iter().map(|(level, message)| logged(*level, message)).collect();
    trace
}

fn logged(level: LogLevel, message: &[u8]) -> Event {
    let arguments = vec![("level", Value::Number(level as i128)), ("message", Value::Bytes(message.to_vec()))];
    Event::Hostcall { name: "proxy_log", arguments, status: Status::Ok, results: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynvm_compare::rules::Rule;

    fn seen(message: &str, header: &str) -> Observed {
        Observed {
            phase: "request_headers",
            headers: vec![(b"x-plugin".to_vec(), header.into())],
            log: vec![(LogLevel::Info, message.into())],
            ..Observed::default()
        }
    }

    #[test]
    fn builds_are_compared_by_the_rules() {
        let compare = |wasm: &[Observed], rules: Rules| {
            let found = difference(&[seen("took 3 us", "one")], wasm, &rules, &mut Applied::default());
            found.map(|found| found.to_string())
        };
        let log_text = Rules::default().allow(Rule::LogText);
        let by_text = "request_headers: proxy_log, message: native took 3 us, wasm took 5 us";
        assert_eq!(compare(&[seen("took 5 us", "one")], Rules::default()).as_deref(), Some(by_text));
        assert_eq!(compare(&[seen("took 5 us", "one")], log_text), None);
        let by_header = "request_headers: header x-plugin: native one, wasm two";
        assert_eq!(compare(&[seen("took 3 us", "two")], log_text).as_deref(), Some(by_header));
        let by_length = "request_headers: length of the test: native 1 steps, wasm 0 steps";
        assert_eq!(compare(&[], log_text).as_deref(), Some(by_length));
    }
}
