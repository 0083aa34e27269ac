//! A simulated proxy with one filter, one plugin, and no network.
//!
//! Tests, `dynvm run` and `dynvm ab` drive plugins with it: HTTP streams with headers, body chunks,
//! trailers, pausing and resuming, local responses; TCP connections; prepared or manual answers to
//! calls; ticks and queues on a clock that moves only on request. Everything is deterministic, so
//! the results of two backends are comparable.
//!
//! [`SimProxy::send`] runs a whole exchange through the plugin. [`SimProxy::open`] opens a stream
//! that receives its parts one by one: [`headers`](SimProxy::headers), [`body`](SimProxy::body),
//! [`trailers`](SimProxy::trailers), [`close`](SimProxy::close).
//!
//! ```
//! # #[cfg(feature = "wasm")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use dynvm::Loader;
//! use dynvm_sim::{SimProxy, Request};
//!
//! let text = br#"(module (func (export "proxy_abi_version_0_2_1")))"#;
//! let module = Loader::new()?.load_bytes("noop.wat", text)?;
//! let mut host = SimProxy::builder().start(&module)?;
//! let exchange = host.send(Request::get("/hello"))?;
//! assert_eq!(exchange.response.status(), Some(200));
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "wasm"))]
//! # fn main() {}
//! ```

#![forbid(unsafe_code)]

mod answers;
mod calls;
mod checkpoint;
mod events;
mod http;
mod message;
mod property;
mod stream;
mod tcp;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dynvm::abi::types::LogLevel;

pub use answers::GrpcEvent;
pub use calls::{GrpcAnswer, HttpAnswer, MadeCall};
pub use checkpoint::Checkpoint;
pub use http::{Direction, Exchange, HttpStream, LocalReply, Outcome, Passed, StepError, StreamView, UpstreamRequest};
pub use message::{Message, Request, Response};
pub use property::PropertyValue;
pub use tcp::{Connection, TcpExchange};

use calls::CannedCalls;
use dynvm::call_trace::Tracer;
use dynvm::host::{
    Clock as _, ForeignFunctions, InProcessMetrics, InProcessSharedData, InProcessSharedQueues, ManualClock, MemoryLog,
    MetricValue, NoForeignFunctions, SeededRandom, Services, SharedData as _,
};
use dynvm::observe::Observer;
use dynvm::{CallError, Failure, StartError};
use dynvm::{ContextId, Module, Plugin, PluginConfig, ReloadBackoff, Vm, VmConfig};
use events::{QueueEvents, StaticProperties, VirtualTimers};

/// A callback that was run, and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Name of the callback.
    pub callback: &'static str,
    /// Its result as named by the ABI (`Continue`, `StopIteration`, ...); empty if it has none.
    pub answer: &'static str,
}

/// How long to wait for a stream that the plugin holds, on the host's clock; a real proxy would time out then.
const PATIENCE: Duration = Duration::from_secs(60);

/// Receives the duration of each callback.
pub type OnTimed = Box<dyn FnMut(&'static str, Duration)>;

/// Configures a [`SimProxy`].
#[derive(Clone, Default)]
pub struct SimProxyBuilder {
    vm_config: VmConfig,
    plugin_config: PluginConfig,
    properties: BTreeMap<String, Vec<u8>>,
    http_answers: Vec<HttpAnswer>,
    grpc_answers: Vec<GrpcAnswer>,
    by_hand: BTreeSet<String>,
    foreign: Option<Arc<dyn ForeignFunctions>>,
    /// `None`: private to each host started from the builder or a clone of it.
    shared: Option<Shared>,
    clock_at: Option<Duration>,
    random_seed: u64,
    log_level: Option<LogLevel>,
    log: Option<Arc<MemoryLog>>,
    observer: Option<Arc<Observer>>,
}

/// State that the VMs of one process share.
#[derive(Clone, Default)]
struct Shared {
    clock: Arc<ManualClock>,
    metrics: Arc<InProcessMetrics>,
    data: Arc<InProcessSharedData>,
    queues: Arc<InProcessSharedQueues>,
}

impl SimProxyBuilder {
    /// The VM's configuration.
    pub fn vm_config(mut self, config: VmConfig) -> Self {
        self.vm_config = config;
        self
    }

    /// The plugin's configuration.
    pub fn plugin_config(mut self, config: PluginConfig) -> Self {
        self.plugin_config = config;
        self
    }

    /// Sets a property of every stream, by dotted path.
    pub fn property(mut self, path: impl Into<String>, value: impl Into<PropertyValue>) -> Self {
        self.properties.insert(path.into(), value.into().0);
        self
    }

    /// Adds an answer to HTTP calls. The answers of one upstream are used in order; the last one repeats.
    pub fn http_answer(mut self, answer: HttpAnswer) -> Self {
        self.http_answers.push(answer);
        self
    }

    /// Adds an answer to gRPC calls, used in order as for HTTP calls.
    pub fn grpc_answer(mut self, answer: GrpcAnswer) -> Self {
        self.grpc_answers.push(answer);
        self
    }

    /// Names an upstream whose calls, HTTP and gRPC, wait for [`SimProxy::answer_http`] and
    /// [`SimProxy::answer_grpc`], or for their timeout.
    pub fn by_hand(mut self, upstream: impl Into<String>) -> Self {
        self.by_hand.insert(upstream.into());
        self
    }

    /// Sets the foreign functions that the plugin can call.
    pub fn foreign(mut self, functions: Arc<dyn ForeignFunctions>) -> Self {
        self.foreign = Some(functions);
        self
    }

    /// Sets the clock to a time since 1970. Default: 2024-01-01T00:00:00Z.
    pub fn clock_at(mut self, since_epoch: Duration) -> Self {
        self.clock_at = Some(since_epoch);
        self
    }

    /// Sets the seed of the host's randomness. Default: 0.
    pub fn random_seed(mut self, seed: u64) -> Self {
        self.random_seed = seed;
        self
    }

    /// Shares clock, metrics, shared data and queues with another host, like two workers of one
    /// proxy. Each host delivers its own events.
    pub fn sharing(mut self, host: &SimProxy) -> Self {
        self.shared = Some(host.shared.clone());
        self
    }

    /// Sets the minimum level of recorded log messages. Default: all levels.
    pub fn log_level(mut self, level: LogLevel) -> Self {
        self.log_level = Some(level);
        self
    }

    /// Records the log in `log`, where it is available even if the plugin does not start.
    /// [`SimProxy::take_log`] takes messages from there.
    pub fn log_to(mut self, log: Arc<MemoryLog>) -> Self {
        self.log = Some(log);
        self
    }

    /// Sets the observer of the VM.
    pub fn observer(mut self, observer: Arc<Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Sets a tracer, which also sees the start. The last setting of a builder: see
    /// [`TracedBuilder`].
    pub fn tracer(self, tracer: impl Into<Option<Box<dyn Tracer>>>) -> TracedBuilder {
        TracedBuilder { builder: self, tracer: tracer.into() }
    }

    /// Creates a VM and starts the plugin.
    ///
    /// # Errors
    ///
    /// As [`PluginBuilder::start`](dynvm::PluginBuilder::start).
    pub fn start(self, module: &Module) -> Result<SimProxy, StartError> {
        self.start_with(module, None)
    }

    fn start_with(self, module: &Module, tracer: Option<Box<dyn Tracer>>) -> Result<SimProxy, StartError> {
        let level = self.log_level.unwrap_or(LogLevel::Trace);
        let log = self.log.unwrap_or_else(|| Arc::new(MemoryLog::with_level(level)));
        let shared = self.shared.unwrap_or_else(|| Shared {
            clock: Arc::new(self.clock_at.map_or_else(ManualClock::default, ManualClock::at)),
            ..Shared::default()
        });
        let clock = shared.clock.clone();
        let queues = Arc::new(QueueEvents::default());
        let timers = Rc::new(VirtualTimers::new(clock.clone()));
        let random = Arc::new(SeededRandom::new(self.random_seed));
        let calls = Rc::new(CannedCalls::new(clock.clone(), self.by_hand, self.http_answers, self.grpc_answers));
        let mut services = Services::default();
        services.log = log.clone();
        services.clock = clock;
        services.random = random.clone();
        services.metrics = shared.metrics.clone();
        services.shared_data = shared.data.clone();
        services.shared_queues = shared.queues.clone();
        services.queue_waker = queues.clone();
        services.foreign = self.foreign.unwrap_or_else(|| Arc::new(NoForeignFunctions));
        services.properties = Rc::new(StaticProperties(self.properties));
        services.http_calls = calls.clone();
        services.grpc_calls = calls.clone();
        services.timers = timers.clone();
        services.observer = self.observer;
        let vm_id = self.vm_config.vm_id.clone();
        let plugin = Plugin::builder(module, self.plugin_config)
            .vm_config(self.vm_config)
            .services(services)
            .tracer(tracer)
            // Time is simulated.
            .backoff(ReloadBackoff::none())
            .start()?;
        let (on_timed, steps) = (None, RefCell::default());
        Ok(SimProxy { plugin, vm_id, log, shared, random, queues, timers, calls, open: Vec::new(), on_timed, steps })
    }
}

/// A [`SimProxyBuilder`] with a tracer. The tracer belongs to one VM, so this builder, unlike the
/// other, can be neither cloned nor sent to another thread.
#[must_use = "a builder does nothing until `start` is called"]
pub struct TracedBuilder {
    builder: SimProxyBuilder,
    tracer: Option<Box<dyn Tracer>>,
}

impl TracedBuilder {
    /// Creates a VM and starts the plugin.
    ///
    /// # Errors
    ///
    /// As [`PluginBuilder::start`](dynvm::PluginBuilder::start).
    pub fn start(self, module: &Module) -> Result<SimProxy, StartError> {
        self.builder.start_with(module, self.tracer)
    }
}

/// A simulated proxy with one plugin.
pub struct SimProxy {
    plugin: Plugin,
    vm_id: String,
    log: Arc<MemoryLog>,
    shared: Shared,
    random: Arc<SeededRandom>,
    queues: Arc<QueueEvents>,
    timers: Rc<VirtualTimers>,
    calls: Rc<CannedCalls>,
    /// Open HTTP streams, oldest first.
    open: Vec<ContextId>,
    on_timed: Option<OnTimed>,
    steps: RefCell<Vec<Step>>,
}

impl SimProxy {
    /// Returns a builder with the defaults.
    pub fn builder() -> SimProxyBuilder {
        SimProxyBuilder::default()
    }

    /// The started plugin.
    pub fn plugin(&mut self) -> &mut Plugin {
        &mut self.plugin
    }

    /// The VM that currently serves streams.
    pub fn vm(&mut self) -> &mut Vm {
        self.plugin.vm()
    }

    /// The failure of the VM, if any.
    pub fn failure(&mut self) -> Option<Failure> {
        self.plugin.vm().failure()
    }

    /// Takes the messages logged since the last call.
    pub fn take_log(&self) -> Vec<(LogLevel, String)> {
        self.log.take()
    }

    /// The metrics defined by the plugin, by name.
    pub fn metrics(&self) -> Vec<(String, MetricValue)> {
        self.shared.metrics.snapshot()
    }

    /// Takes the calls made by the plugin since the last call.
    pub fn take_calls(&self) -> Vec<MadeCall> {
        self.calls.take_made()
    }

    /// The calls that wait for manual answers, oldest first.
    pub fn waiting_calls(&self) -> Vec<MadeCall> {
        self.calls.waiting()
    }

    /// The plugin's `vm_id`, the scope of shared data and queues.
    pub fn vm_id(&self) -> &str {
        &self.vm_id
    }

    /// The host's clock, which moves only through [`SimProxy::advance`].
    pub fn clock(&self) -> &ManualClock {
        &self.shared.clock
    }

    /// The value of a key in the shared data of the plugin's `vm_id`.
    pub fn shared_data(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.shared.data.get(&self.vm_id, key).map(|(value, _)| value.to_vec())
    }

    /// Sets a key in the shared data of the plugin's `vm_id`, as another VM with this id would.
    pub fn set_shared_data(&self, key: &[u8], value: &[u8]) {
        // Without a CAS number, setting always succeeds.
        let _ = self.shared.data.set(&self.vm_id, key, value, 0);
    }

    /// The queues of the plugin and of hosts that share them, to fill and drain as another VM
    /// would. The plugin's queue events are delivered at the next [`SimProxy::advance`], even by
    /// zero.
    pub fn shared_queues(&self) -> &InProcessSharedQueues {
        &self.shared.queues
    }

    /// Takes the callbacks run since the last call.
    pub fn take_steps(&self) -> Vec<Step> {
        self.steps.take()
    }

    /// Starts or, with `None`, stops timing each callback.
    pub fn time_callbacks(&mut self, on_timed: Option<OnTimed>) {
        self.on_timed = on_timed;
    }

    /// Moves the clock forward and delivers the events that are due on the way: answers to calls, ticks, queue events.
    pub fn advance(&mut self, by: Duration) {
        let end = self.shared.clock.monotonic_ns() + by.as_nanos() as u64;
        while let Some(due) = self.next_due().filter(|due| *due <= end) {
            self.move_clock_to(due);
            self.deliver_due();
        }
        self.move_clock_to(end);
        self.deliver_due();
    }

    /// The time until the next pending answer or tick, if any.
    pub fn next_event_in(&self) -> Option<Duration> {
        let due = self.next_due()?;
        Some(Duration::from_nanos(due.saturating_sub(self.shared.clock.monotonic_ns())))
    }

    /// Stops the plugin: `proxy_on_done`, `proxy_on_delete` of the root context.
    pub fn stop(&mut self) -> Result<dynvm::RootDone, CallError> {
        let root = self.plugin.root();
        self.callback("proxy_on_done", |vm| vm.stop_plugin(root), |_| "")
    }

    /// Runs a callback, times it if requested, and records its result.
    fn callback<R>(
        &mut self,
        name: &'static str,
        call: impl FnOnce(&mut Vm) -> R,
        answer: impl FnOnce(&R) -> &'static str,
    ) -> R {
        let vm = self.plugin.vm();
        let returned = match &mut self.on_timed {
            None => call(vm),
            Some(on_timed) => {
                let start = Instant::now();
                let returned = call(vm);
                on_timed(name, start.elapsed());
                returned
            }
        };
        self.steps.borrow_mut().push(Step { callback: name, answer: answer(&returned) });
        returned
    }

    /// Delivers the events that are due now. Returns whether there were any.
    fn deliver_due(&mut self) -> bool {
        let mut any = false;
        loop {
            let now = self.shared.clock.monotonic_ns();
            if let Some(answer) = self.calls.take_due(now) {
                self.deliver_answer(answer);
            } else if let Some((root, queue)) = self.queues.take() {
                if root.vm() != self.plugin.vm().id() {
                    continue;
                }
                self.callback("proxy_on_queue_ready", |vm| vm.on_queue_ready(root, queue), |()| "");
            } else if let Some(root) = self.timers.take_due(now) {
                self.callback("proxy_on_tick", |vm| vm.on_tick(root), |()| "");
            } else {
                return any;
            }
            self.settle_all();
            any = true;
        }
    }

    /// Delivers the next event before `end`, moving the clock to it if necessary. Returns whether there was one.
    fn deliver_next(&mut self, end: u64) -> bool {
        if self.deliver_due() {
            return true;
        }
        let Some(due) = self.next_due().filter(|due| *due <= end) else { return false };
        self.move_clock_to(due);
        self.deliver_due()
    }

    /// Deadline for a stream that the plugin holds: with ticks alone, waiting would never end.
    fn end_of_patience(&self) -> u64 {
        self.shared.clock.monotonic_ns() + PATIENCE.as_nanos() as u64
    }

    fn next_due(&self) -> Option<u64> {
        self.calls.next_due().into_iter().chain(self.timers.next_due()).min()
    }

    fn move_clock_to(&self, time: u64) {
        self.shared.clock.advance(Duration::from_nanos(time.saturating_sub(self.shared.clock.monotonic_ns())));
    }
}
