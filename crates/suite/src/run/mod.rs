//! Runs a test: a new VM, one plugin, one stream.

mod check;
mod driver;

use std::path::Path;
use std::time::Instant;

use dynvm::call_trace::Tracer;
use dynvm::{BackendKind, Module};

use crate::files;
use crate::host::{LogFile, Shared};
use crate::model::{Env, Suite, Test};
use crate::result::{Failure, TestResult};
use driver::Driver;
pub(crate) use driver::{call_body, call_headers};

/// Creates a tracer for a VM.
pub type NewTracer = Box<dyn Fn() -> Box<dyn Tracer>>;

/// Runs a suite on one build of a plugin.
///
/// Tests and benchmarks of one runner share the state that plugins share within a process: data and queues.
pub struct Runner<'a> {
    pub(crate) suite: &'a Suite,
    pub(crate) module: Module,
    pub(crate) configuration: Vec<u8>,
    pub(crate) shared: Shared,
    tracer: Option<NewTracer>,
}

/// A suite cannot run because a file named in its environment is unusable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SetupError(String);

impl<'a> Runner<'a> {
    /// Prepares a run of the given module; the module path in the environment is ignored.
    ///
    /// # Errors
    ///
    /// The configuration cannot be read, or the log file cannot be written.
    pub fn new(suite: &'a Suite, module: Module) -> Result<Runner<'a>, SetupError> {
        let configuration = suite.env.config.as_deref().map(files::read).transpose().map_err(SetupError)?;
        open_log(&suite.env).map_err(SetupError)?;
        let configuration = configuration.unwrap_or_default();
        Ok(Runner { suite, module, configuration, shared: Shared::new(), tracer: None })
    }

    /// Traces every callback and hostcall of tests.
    pub fn trace(mut self, tracer: impl Fn() -> Box<dyn Tracer> + 'static) -> Runner<'a> {
        self.tracer = Some(Box::new(tracer));
        self
    }

    /// The engine that runs the plugin.
    pub fn engine(&self) -> BackendKind {
        self.module.backend()
    }

    /// Runs a test.
    pub fn run(&self, test: &Test) -> TestResult {
        let start = Instant::now();
        let mut failures = Vec::new();
        let mut observed = Vec::new();
        let log = match open_log(&self.suite.env) {
            Ok(log) => log,
            Err(message) => {
                failures.push(Failure { phase: "plugin_init", message });
                None
            }
        };
        if failures.is_empty() {
            Driver::run(self, test, log, &mut failures, &mut observed);
        }
        TestResult { name: test.name.clone(), engine: self.engine(), failures, observed, time: start.elapsed() }
    }

    pub(crate) fn suite_path(&self) -> &Path {
        &self.suite.path
    }

    pub(crate) fn new_tracer(&self) -> Option<Box<dyn Tracer>> {
        self.tracer.as_ref().map(|tracer| tracer())
    }
}

fn open_log(env: &Env) -> Result<Option<LogFile>, String> {
    env.log_file.as_deref().map(LogFile::open).transpose()
}
