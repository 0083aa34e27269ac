//! Runs the steps of a test in order, with checks after each.

use std::rc::Rc;
use std::sync::Arc;

use dynvm::abi::types::{FilterHeadersStatus, LogLevel};
use dynvm::{ContextId, PluginConfig, StartError, Vm, with_causes};

use super::Runner;
use super::check::Check;
use crate::header_map::SortedHeaders;
use crate::host::{Answer, FrozenClock, LogFile, Phase, SuiteLog, SuiteStream, vm_config};
use crate::model::{Expectation, Invocation, Test};
use crate::result::{Failure, Observed};
use crate::{http1, input};

/// The root context of a VM's first plugin.
const ROOT: u32 = 1;

/// A running test.
pub(super) struct Driver<'a> {
    runner: &'a Runner<'a>,
    test: &'a Test,
    log: Arc<SuiteLog>,
    failures: &'a mut Vec<Failure>,
    observed: &'a mut Vec<Observed>,
}

/// The test cannot continue; the reason is among the failures.
struct Fatal;

impl<'a> Driver<'a> {
    pub(super) fn run(
        runner: &'a Runner<'a>,
        test: &'a Test,
        file: Option<LogFile>,
        failures: &'a mut Vec<Failure>,
        observed: &'a mut Vec<Observed>,
    ) {
        let least = runner.suite.env.log_level.unwrap_or(LogLevel::Info);
        let log = Arc::new(SuiteLog::new(least, file));
        let mut driver = Driver { runner, test, log, failures, observed };
        // The failure is recorded where it happens.
        let _ = driver.vm();
    }

    fn vm(&mut self) -> Result<(), Fatal> {
        let clock = FrozenClock::at(self.runner.suite.env.time_secs);
        let services = self.runner.shared.services(self.log.clone(), clock);
        let vm = Vm::builder(&self.runner.module)
            .config(vm_config())
            .services(services)
            .tracer(self.runner.new_tracer())
            .build();
        let mut vm =
            vm.map_err(|error| self.fatal("plugin_init", format!("the VM does not start: {}", with_causes(&error))))?;
        self.log.mark(&format!("--- Starting test: {} ---", self.test.name));
        let done = self.plugin(&mut vm);
        self.log.mark(&format!("--- Finished test: {} ---", self.test.name));
        done
    }

    fn plugin(&mut self, vm: &mut Vm) -> Result<(), Fatal> {
        const PHASE: &str = "plugin_init";
        let config = PluginConfig::named("test").configuration(self.runner.configuration.clone());
        let root = vm.start_plugin(config).map_err(|error| self.not_started(error))?;
        self.side_effects(PHASE, &self.test.plugin_init, ROOT);
        let done = self.stream(vm, root);
        // Even after a failure: the log file includes what the plugin does while stopping.
        let _ = vm.stop_plugin(root);
        done?;
        self.healthy(vm, "plugin_destroy", ROOT)
    }

    fn not_started(&mut self, error: StartError) -> Fatal {
        let mut message = match &error {
            StartError::Refused { function: "proxy_on_vm_start", .. } => "Plugin.start failed: ".to_owned(),
            StartError::Refused { function: "proxy_on_configure", .. } => "Plugin.configure failed: ".to_owned(),
            _ => String::new(),
        };
        message.push_str(&with_causes(&error));
        message.push_str(&self.log_text(ROOT));
        self.fatal("plugin_init", message)
    }

    fn stream(&mut self, vm: &mut Vm, root: ContextId) -> Result<(), Fatal> {
        let stream = SuiteStream::new(Rc::from(self.test.properties.as_slice()));
        let id =
            vm.create_stream(root, Box::new(stream)).map_err(|error| self.fatal("stream_init", with_causes(&error)))?;
        let mut done = self.healthy(vm, "stream_init", id.get());
        if done.is_ok() {
            self.side_effects("stream_init", &self.test.stream_init, id.get());
            done = self.phases(vm, id);
        }
        self.log.clear(id.get());
        vm.delete_stream(id);
        done?;
        self.healthy(vm, "stream_destroy", id.get())?;
        self.side_effects("stream_destroy", &self.test.stream_destroy, id.get());
        Ok(())
    }

    /// Runs the stream's callbacks, always in this order.
    fn phases(&mut self, vm: &mut Vm, id: ContextId) -> Result<(), Fatal> {
        let test = self.test;
        self.headers(vm, id, Phase::RequestHeaders, test.request_headers.as_ref())?;
        self.body(vm, id, Phase::RequestBody, &test.request_body)?;
        self.headers(vm, id, Phase::ResponseHeaders, test.response_headers.as_ref())?;
        self.body(vm, id, Phase::ResponseBody, &test.response_body)
    }

    fn headers(
        &mut self,
        vm: &mut Vm,
        id: ContextId,
        phase: Phase,
        invocation: Option<&Invocation>,
    ) -> Result<(), Fatal> {
        let Some(invocation) = invocation else { return Ok(()) };
        let kind = if phase == Phase::RequestHeaders { http1::Kind::Request } else { http1::Kind::Response };
        let headers = input::headers(&invocation.input, kind, self.runner.suite_path());
        let headers = headers.map_err(|error| self.fatal(phase.name(), error))?;
        self.log.clear(id.get());
        let (status, answer) = call_headers(vm, id, phase, headers);
        self.healthy(vm, phase.name(), id.get())?;
        self.check(phase, &invocation.expect, Some(status), answer, id);
        Ok(())
    }

    /// Feeds each part in chunks; expectations are checked per part.
    fn body(&mut self, vm: &mut Vm, id: ContextId, phase: Phase, invocations: &[Invocation]) -> Result<(), Fatal> {
        let bodies = input::bodies(invocations, self.test.chunking, self.runner.suite_path());
        let bodies = bodies.map_err(|error| self.fatal(phase.name(), error))?;
        for (invocation, chunks) in invocations.iter().zip(bodies) {
            let mut body = Vec::new();
            let last = chunks.len() - 1;
            for (index, chunk) in chunks.into_iter().enumerate() {
                self.log.clear(id.get());
                body.extend(call_body(vm, id, phase, chunk, index == last));
                self.healthy(vm, phase.name(), id.get())?;
            }
            self.check(phase, &invocation.expect, None, Answer { body, ..Answer::default() }, id);
        }
        Ok(())
    }

    fn check(
        &mut self,
        phase: Phase,
        expect: &Expectation,
        status: Option<FilterHeadersStatus>,
        answer: Answer,
        id: ContextId,
    ) {
        let log = self.log.of(id.get());
        let mut check = Check { phase: phase.name(), suite: self.runner.suite_path(), failures: &mut *self.failures };
        check.all(expect, status.unwrap_or(FilterHeadersStatus::Continue), &answer, &log);
        let local_response =
            (answer.http_status != 0).then(|| (answer.http_status, answer.grpc_status, answer.details.clone()));
        self.observed.push(Observed {
            phase: phase.name(),
            status: status.map(FilterHeadersStatus::name),
            headers: answer.headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
            body: answer.body,
            local_response,
            log,
        });
    }

    fn side_effects(&mut self, phase: &'static str, expect: &Expectation, context: u32) {
        let log = self.log.of(context);
        Check { phase, suite: self.runner.suite_path(), failures: &mut *self.failures }.log(expect, &log);
        self.observed.push(Observed { phase, log, ..Observed::default() });
    }

    /// A failed VM ends the test; its last messages usually have the reason.
    fn healthy(&mut self, vm: &Vm, phase: &'static str, context: u32) -> Result<(), Fatal> {
        match vm.failure() {
            None => Ok(()),
            Some(failure) => {
                // The loader logs the failure too; report it once.
                let lines =
                    self.log.of(context).into_iter().map(|(_, line)| String::from_utf8_lossy(&line).into_owned());
                let lines = lines.filter(|line| !line.contains(&failure.message));
                let message = lines.fold(format!("the VM failed: {failure}"), |text, line| text + "\n  log: " + &line);
                Err(self.fatal(phase, message))
            }
        }
    }

    fn log_text(&self, context: u32) -> String {
        let lines = self.log.of(context);
        lines.iter().map(|(_, line)| format!("\n  log: {}", String::from_utf8_lossy(line))).collect()
    }

    fn fatal(&mut self, phase: &'static str, message: String) -> Fatal {
        self.failures.push(Failure { phase, message });
        Fatal
    }
}

/// Runs a headers callback, unless a local response was sent before. Headers never end the stream.
pub(crate) fn call_headers(
    vm: &mut Vm,
    id: ContextId,
    phase: Phase,
    headers: SortedHeaders,
) -> (FilterHeadersStatus, Answer) {
    use dynvm::host::HeaderMap as _;
    let count = headers.len();
    if !enter(vm, id, phase, headers, Vec::new()) {
        return (FilterHeadersStatus::Continue, Answer::default());
    }
    let status = match phase {
        Phase::RequestHeaders => vm.on_request_headers(id, count, false),
        _ => vm.on_response_headers(id, count, false),
    };
    (status, leave(vm, id))
}

/// Runs a body callback for a chunk, unless a local response was sent before. Returns the chunk after the callback.
pub(crate) fn call_body(vm: &mut Vm, id: ContextId, phase: Phase, chunk: Vec<u8>, end_of_stream: bool) -> Vec<u8> {
    let size = chunk.len();
    if !enter(vm, id, phase, SortedHeaders::default(), chunk) {
        return Vec::new();
    }
    // Nothing is buffered, so the plugin's return value has no effect.
    match phase {
        Phase::RequestBody => vm.on_request_body(id, size, end_of_stream),
        _ => vm.on_response_body(id, size, end_of_stream),
    };
    leave(vm, id).body
}

fn enter(vm: &mut Vm, id: ContextId, phase: Phase, headers: SortedHeaders, body: Vec<u8>) -> bool {
    let Some(mut stream) = vm.stream_mut::<SuiteStream>(id) else { return false };
    if stream.is_answered() {
        return false;
    }
    stream.enter(phase, headers, body);
    true
}

fn leave(vm: &mut Vm, id: ContextId) -> Answer {
    vm.stream_mut::<SuiteStream>(id).map(|mut stream| stream.leave()).unwrap_or_default()
}
