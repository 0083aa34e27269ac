//! A suite with a script for the probe, in a temporary directory.

use std::path::PathBuf;

use dynvm_suite::{Format, Runner, Suite, TestResult};

use harness::{Backend, probe};

/// A runnable suite. Dropping it removes its files.
pub struct Case {
    backend: Backend,
    dir: tempfile::TempDir,
    suite: Suite,
}

impl Case {
    /// A suite's text, and the probe's script: lines `callback|hostcall arguments`.
    pub fn new(backend: Backend, script: &[&str], text: &str) -> Case {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("script");
        std::fs::write(&config, script.join("\n")).unwrap();
        let mut suite = Suite::parse(text, Format::TextProto, dir.path().join("suite.textpb")).unwrap();
        suite.env.config = Some(config);
        Case { backend, dir, suite }
    }

    /// A file beside the suite's.
    pub fn file(self, name: &str, content: &str) -> Case {
        std::fs::write(self.path(name), content).unwrap();
        self
    }

    /// The file to which messages are appended.
    pub fn log_to(mut self, name: &str) -> Case {
        self.suite.env.log_file = Some(self.path(name));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn suite(&self) -> &Suite {
        &self.suite
    }

    pub fn runner(&self) -> Runner<'_> {
        Runner::new(&self.suite, probe(self.backend, &[])).unwrap()
    }

    pub fn run(&self) -> Vec<TestResult> {
        let runner = self.runner();
        self.suite.tests.iter().map(|test| runner.run(test)).collect()
    }
}

/// The result of one test with these contents.
pub fn result(backend: Backend, script: &[&str], test: &str) -> TestResult {
    Case::new(backend, script, &format!("test {{ name: 't' {test} }}")).run().remove(0)
}

#[track_caller]
pub fn passes(backend: Backend, script: &[&str], test: &str) {
    let result = result(backend, script, test);
    assert!(result.passed(), "{test}: {:#?}", result.failures);
}

/// Asserts that the test fails once, with this message.
#[track_caller]
pub fn fails(backend: Backend, script: &[&str], test: &str, expected: &str) {
    let result = result(backend, script, test);
    let messages: Vec<_> = result.failures.iter().map(|f| format!("[{}] {}", f.phase, f.message)).collect();
    assert!(messages.len() == 1 && messages[0].contains(expected), "{expected:?} is all of {messages:#?}");
}

/// The plugin's log of a step.
pub fn logged(result: &TestResult, phase: &str) -> Vec<String> {
    let steps = result.observed.iter().filter(|step| step.phase == phase);
    steps.flat_map(|step| &step.log).map(|(_, line)| String::from_utf8_lossy(line).into_owned()).collect()
}

/// The resulting headers, as lines.
pub fn headers(result: &TestResult, phase: &str) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let steps = result.observed.iter().filter(|step| step.phase == phase);
    steps.flat_map(|step| &step.headers).map(|(name, value)| format!("{}: {}", text(name), text(value))).collect()
}
