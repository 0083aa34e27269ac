//! Benchmark subjects: each round returns the duration of its measured part.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dynvm::abi::types::LogLevel;
use dynvm::{ContextId, PluginConfig, Vm};

use super::background::{Background, Traffic};
use super::{Figures, Times};
use crate::Runner;
use crate::host::{FrozenClock, LogCount, Phase, SuiteLog, SuiteStream, vm_config};
use crate::model::Test;
use crate::run::{call_body, call_headers};

/// A repeatable operation.
pub(super) trait Subject {
    /// Runs one round. Returns the time of the measured part, or why it cannot continue.
    fn round(&mut self) -> Result<Duration, String>;

    /// The measurements, with the given times.
    fn figures(&self, times: Times) -> Figures;
}

/// A VM of a runner, initially without a plugin.
struct Bed<'r> {
    runner: &'r Runner<'r>,
    vm: Vm,
    log: Arc<SuiteLog>,
    /// Messages logged in one round.
    logged: LogCount,
}

impl<'r> Bed<'r> {
    fn new(runner: &'r Runner<'_>) -> Result<Bed<'r>, String> {
        let log = Arc::new(SuiteLog::new(LogLevel::Critical, None));
        let services = runner.shared.services(log.clone(), FrozenClock::at(runner.suite.env.time_secs));
        let vm = Vm::builder(&runner.module)
            .config(vm_config())
            .services(services)
            .build()
            .map_err(|error| dynvm::with_causes(&error))?;
        Ok(Bed { runner, vm, log, logged: LogCount::default() })
    }

    fn start(&mut self, config: PluginConfig) -> Result<ContextId, String> {
        self.vm.start_plugin(config).map_err(|error| dynvm::with_causes(&error))
    }

    fn config(&self) -> PluginConfig {
        PluginConfig::named("test").configuration(self.runner.configuration.clone())
    }

    fn healthy(&self) -> Result<(), String> {
        self.vm.failure().map_or(Ok(()), |failure| Err(format!("the VM failed: {failure}")))
    }

    fn figures(&self, times: Times) -> Figures {
        Figures {
            times,
            memory: self.vm.memory_size(),
            log_bytes: self.logged.bytes,
            log_entries: self.logged.entries,
            artifact_bytes: self.runner.module.info().size as u64,
        }
    }
}

/// Starts and stops a plugin.
pub(super) struct PluginLifecycle<'r>(Bed<'r>);

impl<'r> PluginLifecycle<'r> {
    pub(super) fn new(runner: &'r Runner<'_>) -> Result<PluginLifecycle<'r>, String> {
        Bed::new(runner).map(PluginLifecycle)
    }
}

impl Subject for PluginLifecycle<'_> {
    fn round(&mut self) -> Result<Duration, String> {
        let bed = &mut self.0;
        let config = bed.config();
        let start = Instant::now();
        let root = bed.start(config)?;
        let done = bed.vm.stop_plugin(root);
        let time = start.elapsed();
        bed.logged = bed.log.forget(root.get());
        done.map_err(|error| dynvm::with_causes(&error))?;
        bed.healthy()?;
        Ok(time)
    }

    fn figures(&self, times: Times) -> Figures {
        self.0.figures(times)
    }
}

/// Creates and deletes a stream, while others exist.
pub(super) struct StreamLifecycle<'r> {
    bed: Bed<'r>,
    root: ContextId,
    traffic: Traffic,
}

impl<'r> StreamLifecycle<'r> {
    pub(super) fn new(runner: &'r Runner<'_>, test: &Test) -> Result<StreamLifecycle<'r>, String> {
        let mut bed = Bed::new(runner)?;
        let root = bed.start(bed.config())?;
        let traffic = Traffic { properties: Rc::from(test.properties.as_slice()), ..Traffic::default() };
        for _ in 0..runner.suite.env.additional_streams {
            Background::default().advance(&mut bed.vm, root, &traffic)?;
        }
        Ok(StreamLifecycle { bed, root, traffic })
    }
}

impl Subject for StreamLifecycle<'_> {
    fn round(&mut self) -> Result<Duration, String> {
        let stream = Box::new(SuiteStream::new(self.traffic.properties.clone()));
        let vm = &mut self.bed.vm;
        let start = Instant::now();
        let id = vm.create_stream(self.root, stream).map_err(|error| dynvm::with_causes(&error))?;
        let stream = vm.delete_stream(id);
        let time = start.elapsed();
        drop(stream);
        self.bed.logged = self.bed.log.forget(id.get());
        self.bed.healthy()?;
        Ok(time)
    }

    fn figures(&self, times: Times) -> Figures {
        self.bed.figures(times)
    }
}

/// Runs the callbacks of a test on a new stream, while others are open.
pub(super) struct Handlers<'r> {
    bed: Bed<'r>,
    root: ContextId,
    traffic: Traffic,
    background: Vec<Background>,
    random: Random,
}

impl<'r> Handlers<'r> {
    pub(super) fn new(runner: &'r Runner<'_>, test: &Test) -> Result<Handlers<'r>, String> {
        let traffic = Traffic::of(test, runner.suite_path())?;
        let mut bed = Bed::new(runner)?;
        let root = bed.start(bed.config())?;
        let mut background = Vec::new();
        for _ in 0..runner.suite.env.additional_streams {
            let mut stream = Background::default();
            // Creates the stream, then calls the first handler.
            stream.advance(&mut bed.vm, root, &traffic)?;
            stream.advance(&mut bed.vm, root, &traffic)?;
            background.push(stream);
        }
        Ok(Handlers { bed, root, traffic, background, random: Random(0x9e37_79b9_7f4a_7c15) })
    }

    /// Advances some of the other streams by one step.
    fn advance(&mut self) -> Result<(), String> {
        const DEFAULT_RATE: u64 = 3;
        if self.background.is_empty() {
            return Ok(());
        }
        let rate = self.bed.runner.suite.env.advance_rate;
        for _ in 0..if rate > 0 { rate } else { DEFAULT_RATE } {
            let index = self.random.below(self.background.len());
            self.background[index].advance(&mut self.bed.vm, self.root, &self.traffic)?;
        }
        Ok(())
    }
}

impl Subject for Handlers<'_> {
    fn round(&mut self) -> Result<Duration, String> {
        self.advance()?;
        let traffic = &self.traffic;
        let stream = Box::new(SuiteStream::new(traffic.properties.clone()));
        let (request_headers, response_headers) = (traffic.request_headers.clone(), traffic.response_headers.clone());
        let (request_body, response_body) = (traffic.request_body.clone(), traffic.response_body.clone());
        let vm = &mut self.bed.vm;
        let id = vm.create_stream(self.root, stream).map_err(|error| dynvm::with_causes(&error))?;
        let start = Instant::now();
        if let Some(headers) = request_headers {
            std::hint::black_box(call_headers(vm, id, Phase::RequestHeaders, headers));
        }
        send_body(vm, id, Phase::RequestBody, request_body);
        if let Some(headers) = response_headers {
            std::hint::black_box(call_headers(vm, id, Phase::ResponseHeaders, headers));
        }
        send_body(vm, id, Phase::ResponseBody, response_body);
        let time = start.elapsed();
        vm.delete_stream(id);
        self.bed.logged = self.bed.log.forget(id.get());
        self.bed.healthy()?;
        Ok(time)
    }

    fn figures(&self, times: Times) -> Figures {
        self.bed.figures(times)
    }
}

/// The last chunk ends the stream.
fn send_body(vm: &mut Vm, id: ContextId, phase: Phase, chunks: Vec<Vec<u8>>) {
    let last = chunks.len().saturating_sub(1);
    for (index, chunk) in chunks.into_iter().enumerate() {
        std::hint::black_box(call_body(vm, id, phase, chunk, index == last));
    }
}

/// Random numbers of low quality (xorshift) are sufficient.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}
