//! What came of a test.

use std::time::Duration;

use dynvm::BackendKind;

/// A test that was run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TestResult {
    /// Its name.
    pub name: String,
    /// What ran it.
    pub engine: BackendKind,
    /// What was not as expected. None: it passed.
    pub failures: Vec<Failure>,
    /// What was seen, step by step, as far as it got.
    pub observed: Vec<Observed>,
    /// How long it took, with starting the VM.
    pub time: Duration,
}

impl TestResult {
    /// Its id: `Test_<engine>.<name>`.
    pub fn id(&self) -> String {
        format!("Test_{}.{}", self.engine, self.name)
    }

    /// Whether everything was as expected.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Something that was not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The step, in the suite's words: `plugin_init`, `request_headers`, ...
    pub phase: &'static str,
    /// What was expected, and what was there.
    pub message: String,
}

/// What was seen of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Observed {
    /// The step.
    pub phase: &'static str,
    /// The plugin's answer to a headers callback.
    pub status: Option<&'static str>,
    /// Headers as it left them, or those of the local response.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body as it left it, or that of the local response.
    pub body: Vec<u8>,
    /// A local response: HTTP status, gRPC status, details.
    pub local_response: Option<(u32, u32, Vec<u8>)>,
    /// Messages that were kept.
    pub log: Vec<Vec<u8>>,
}

/// Where two runs of a test are not the same, in words: the first thing. Failures are not compared.
pub fn difference(native: &[Observed], wasm: &[Observed]) -> Option<String> {
    for (a, b) in native.iter().zip(wasm) {
        let text = |bytes: &[u8]| format!("{:?}", String::from_utf8_lossy(bytes));
        let lines = |lines: &[Vec<u8>]| lines.iter().map(|line| text(line)).collect::<Vec<_>>().join(", ");
        let headers = |seen: &Observed| {
            let line = |(name, value): &(Vec<u8>, Vec<u8>)| [name.as_slice(), b": ", value].concat();
            lines(&seen.headers.iter().map(line).collect::<Vec<_>>())
        };
        let pairs = [
            ("status", a.status.unwrap_or("none").to_owned(), b.status.unwrap_or("none").to_owned()),
            ("local response", format!("{:?}", a.local_response), format!("{:?}", b.local_response)),
            ("headers", headers(a), headers(b)),
            ("body", text(&a.body), text(&b.body)),
            ("log", lines(&a.log), lines(&b.log)),
        ];
        if let Some((what, native, wasm)) = pairs.into_iter().find(|(_, native, wasm)| native != wasm) {
            return Some(format!("{}: {what}: native {native}, wasm {wasm}", a.phase));
        }
    }
    (native.len() != wasm.len()).then(|| format!("native got {} steps far, wasm {}", native.len(), wasm.len()))
}
