//! A host in memory: a proxy with one filter, one plugin, and no network.
//!
//! It is what tests, `dynvm run` and `dynvm ab` drive plugins with: HTTP streams with headers, bodies in chunks, trailers, pausing and
//! resuming, local replies; TCP connections; canned answers to calls, or answers by hand; ticks and queues on a clock that moves only when
//! told to. Everything is deterministic, so two backends can be compared by their results.
//!
//! [`SimProxy::send`] takes a whole exchange through the plugin. [`SimProxy::open`] opens a stream on which things arrive one by one:
//! [`headers`](SimProxy::headers), [`body`](SimProxy::body), [`trailers`](SimProxy::trailers), [`close`](SimProxy::close).
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
use dynvm::{ContextId, Module, Plugin, PluginConfig, Vm, VmConfig};
use events::{QueueEvents, StaticProperties, VirtualTimers};

/// One step that the plugin was taken through: the callback and what it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The callback.
    pub callback: &'static str,
    /// Its answer in the ABI's words (`Continue`, `StopIteration`, ...); empty where it has none.
    pub answer: &'static str,
}

/// How long a stream is waited for that the plugin holds back, on the clock of the host: then a proxy's timeout would end it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Takes the time of each callback.
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
    /// `None`: of its own, also where the builder is cloned.
    shared: Option<Shared>,
    clock_at: Option<Duration>,
    random_seed: u64,
    log_level: Option<LogLevel>,
    log: Option<Arc<MemoryLog>>,
    observer: Option<Arc<Observer>>,
}

/// What the VMs of one process share.
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

    /// A property that every stream has, its path with dots.
    pub fn property(mut self, path: impl Into<String>, value: impl Into<PropertyValue>) -> Self {
        self.properties.insert(path.into(), value.into().0);
        self
    }

    /// An answer to HTTP calls. Those of one upstream are given in order; the last is given again.
    pub fn http_answer(mut self, answer: HttpAnswer) -> Self {
        self.http_answers.push(answer);
        self
    }

    /// An answer to gRPC calls, chosen as those to HTTP calls.
    pub fn grpc_answer(mut self, answer: GrpcAnswer) -> Self {
        self.grpc_answers.push(answer);
        self
    }

    /// An upstream whose calls, HTTP and gRPC, wait until they are answered by [`SimProxy::answer_http`] and
    /// [`SimProxy::answer_grpc`], or their timeout has come.
    pub fn by_hand(mut self, upstream: impl Into<String>) -> Self {
        self.by_hand.insert(upstream.into());
        self
    }

    /// Functions that the plugin may call by name.
    pub fn foreign(mut self, functions: Arc<dyn ForeignFunctions>) -> Self {
        self.foreign = Some(functions);
        self
    }

    /// Stands the clock at a time since 1970. Without it: 2024-01-01T00:00:00Z.
    pub fn clock_at(mut self, since_epoch: Duration) -> Self {
        self.clock_at = Some(since_epoch);
        self
    }

    /// Where the host's randomness starts from. Without it: 0.
    pub fn random_seed(mut self, seed: u64) -> Self {
        self.random_seed = seed;
        self
    }

    /// Shares clock, metrics, shared data and queues with another host, as two workers of one proxy do. Events are delivered by the host
    /// that is told to.
    pub fn sharing(mut self, host: &SimProxy) -> Self {
        self.shared = Some(host.shared.clone());
        self
    }

    /// The least level that is kept of the log. By default all of it.
    pub fn log_level(mut self, level: LogLevel) -> Self {
        self.log_level = Some(level);
        self
    }

    /// Keeps the log of this host somewhere else, where it is to be had even if the plugin does not start.
    /// [`SimProxy::take_log`] takes from there.
    pub fn log_to(mut self, log: Arc<MemoryLog>) -> Self {
        self.log = Some(log);
        self
    }

    /// Who counts what the VM does.
    pub fn observer(mut self, observer: Arc<Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Makes a VM and starts the plugin.
    ///
    /// # Errors
    ///
    /// As [`PluginBuilder::start`].
    pub fn start(self, module: &Module) -> Result<SimProxy, StartError> {
        self.start_traced(module, None)
    }

    /// The same, with a tracer that sees the start too.
    ///
    /// # Errors
    ///
    /// As [`PluginBuilder::start`].
    pub fn start_traced(self, module: &Module, tracer: Option<Box<dyn Tracer>>) -> Result<SimProxy, StartError> {
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
            .start()?;
        let (on_timed, steps) = (None, RefCell::default());
        Ok(SimProxy { plugin, vm_id, log, shared, random, queues, timers, calls, open: Vec::new(), on_timed, steps })
    }
}

/// A proxy in memory with one plugin.
pub struct SimProxy {
    plugin: Plugin,
    vm_id: String,
    log: Arc<MemoryLog>,
    shared: Shared,
    random: Arc<SeededRandom>,
    queues: Arc<QueueEvents>,
    timers: Rc<VirtualTimers>,
    calls: Rc<CannedCalls>,
    /// HTTP streams, oldest first.
    open: Vec<ContextId>,
    on_timed: Option<OnTimed>,
    steps: RefCell<Vec<Step>>,
}

impl SimProxy {
    /// A host to be configured.
    pub fn builder() -> SimProxyBuilder {
        SimProxyBuilder::default()
    }

    /// The plugin.
    pub fn plugin(&mut self) -> &mut Plugin {
        &mut self.plugin
    }

    /// The VM that serves streams now.
    pub fn vm(&mut self) -> &mut Vm {
        self.plugin.vm()
    }

    /// How the VM failed, if it did.
    pub fn failure(&mut self) -> Option<Failure> {
        self.plugin.vm().failure()
    }

    /// What was logged since the last call.
    pub fn take_log(&self) -> Vec<(LogLevel, String)> {
        self.log.take()
    }

    /// The metrics that the plugin defined, by name.
    pub fn metrics(&self) -> Vec<(String, MetricValue)> {
        self.shared.metrics.snapshot()
    }

    /// The calls that the plugin made since this was last asked.
    pub fn take_calls(&self) -> Vec<MadeCall> {
        self.calls.take_made()
    }

    /// The calls that wait for an answer by hand, oldest first.
    pub fn waiting_calls(&self) -> Vec<MadeCall> {
        self.calls.waiting()
    }

    /// The plugin's `vm_id`, the scope of shared data and queues.
    pub fn vm_id(&self) -> &str {
        &self.vm_id
    }

    /// The clock, which stands still but for [`SimProxy::advance`].
    pub fn clock(&self) -> &ManualClock {
        &self.shared.clock
    }

    /// The value of a key in the shared data of the plugin's `vm_id`.
    pub fn shared_data(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.shared.data.get(&self.vm_id, key).map(|(value, _)| value.to_vec())
    }

    /// Sets a key in the shared data of the plugin's `vm_id`, as another VM of it would.
    pub fn set_shared_data(&self, key: &[u8], value: &[u8]) {
        // Without a number to compare, a value is always set.
        let _ = self.shared.data.set(&self.vm_id, key, value, 0);
    }

    /// The queues of the plugin and whoever shares them, to fill and empty as another VM would. An event for the plugin is delivered when
    /// the clock is next moved, if only by nothing.
    pub fn shared_queues(&self) -> &InProcessSharedQueues {
        &self.shared.queues
    }

    /// The callbacks that were made since this was last asked.
    pub fn take_steps(&self) -> Vec<Step> {
        self.steps.take()
    }

    /// Has the time of each callback taken from now on.
    pub fn time_callbacks(&mut self, on_timed: Option<OnTimed>) {
        self.on_timed = on_timed;
    }

    /// Moves the clock forward, delivering what falls due on the way: answers to calls, ticks, queue events.
    pub fn advance(&mut self, by: Duration) {
        let end = self.shared.clock.monotonic_ns() + by.as_nanos() as u64;
        while let Some(due) = self.next_due().filter(|due| *due <= end) {
            self.move_clock_to(due);
            self.deliver_due();
        }
        self.move_clock_to(end);
        self.deliver_due();
    }

    /// The time to the next answer or tick that falls due; `None`: there is none to come.
    pub fn next_event_in(&self) -> Option<Duration> {
        let due = self.next_due()?;
        Some(Duration::from_nanos(due.saturating_sub(self.shared.clock.monotonic_ns())))
    }

    /// Ends the plugin: `proxy_on_done`, `proxy_on_delete` of the root.
    pub fn stop(&mut self) -> Result<dynvm::RootDone, CallError> {
        let root = self.plugin.root();
        self.callback("proxy_on_done", |vm| vm.stop_plugin(root), |_| "")
    }

    /// Makes a callback, takes its time if that is wanted, and notes what it answered.
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

    /// Delivers what is due now. True if there was anything.
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

    /// Delivers the next event up to a time, moving the clock to it if need be. False if there is none to come by then.
    fn deliver_next(&mut self, end: u64) -> bool {
        if self.deliver_due() {
            return true;
        }
        let Some(due) = self.next_due().filter(|due| *due <= end) else { return false };
        self.move_clock_to(due);
        self.deliver_due()
    }

    /// Until when a stream that the plugin holds back is waited for: ticks alone would go on for ever.
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
