//! What a host provides: one trait per service, each with a default that works inside one process.
//!
//! A [`Services`] value holds the services of one VM. Those that every VM of a process shares (log, metrics, shared data, queues) are
//! `Send + Sync`; those bound to the VM's event loop (calls, timers) are not. What belongs to one stream is the embedder's [`Stream`].
//!
//! No service is called while the plugin's state is being changed, and none may call back into the same VM: answers to calls, due ticks
//! and queue events are delivered by the embedder through the methods of [`Vm`](crate::Vm) after the callback has returned.

mod buffer;
mod calls;
mod clock;
mod foreign;
mod header_map;
#[cfg(feature = "http")]
pub mod http;
mod log;
mod metrics;
mod plugin_metrics;
mod property;
mod random;
mod shared_data;
mod shared_queue;
mod stream;
mod timer;
#[cfg(feature = "tracing")]
mod tracing_log;

use std::rc::Rc;
use std::sync::Arc;

use crate::observe::Observer;

pub use buffer::Buffer;
pub use calls::{
    DispatchError, GrpcCall, GrpcCalls, GrpcSendError, GrpcTarget, HttpCall, HttpCallResponse, HttpCalls, NoCalls,
};
pub use clock::{Clock, ManualClock, SystemClock};
pub use foreign::{ForeignError, ForeignFunctions, NoForeignFunctions};
pub use header_map::{HeaderMap, Headers};
pub use log::{Log, LogSource, MemoryLog, NoLog, StderrLog};
pub use metrics::{InProcessMetrics, MetricError, MetricId, MetricValue, Metrics};
pub use plugin_metrics::{plugin_metrics, write_plugin_metrics};
pub use property::{NoProperties, Properties, PropertyError, PropertyPath};
pub use random::{OsRandom, Random, SeededRandom};
pub use shared_data::{CasMismatch, InProcessSharedData, SavedData, SharedData};
pub use shared_queue::{
    Consumer, DequeueError, InProcessSharedQueues, QueueId, QueueWaker, SavedQueues, SharedQueues, UnknownQueue,
};
pub use stream::{ConfigStream, LocalResponse, Stream};
pub use timer::{NoTimers, Timers};
#[cfg(feature = "tracing")]
pub use tracing_log::TracingLog;

/// The services of one VM. `Clone` shares them.
#[derive(Clone)]
#[non_exhaustive]
pub struct Services {
    /// Where messages go.
    pub log: Arc<dyn Log>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Random bytes, of WASI's `random_get` and of the C library's functions.
    pub random: Arc<dyn Random>,
    /// Metrics that plugins define.
    pub metrics: Arc<dyn Metrics>,
    /// The key-value store that VMs of one `vm_id` share.
    pub shared_data: Arc<dyn SharedData>,
    /// The queues that VMs share.
    pub shared_queues: Arc<dyn SharedQueues>,
    /// How a queue tells this VM's event loop that there is something to dequeue.
    pub queue_waker: Arc<dyn QueueWaker>,
    /// Functions that plugins call by name.
    pub foreign: Arc<dyn ForeignFunctions>,
    /// Properties beyond those of a stream.
    pub properties: Rc<dyn Properties>,
    /// HTTP calls.
    pub http_calls: Rc<dyn HttpCalls>,
    /// gRPC calls.
    pub grpc_calls: Rc<dyn GrpcCalls>,
    /// Ticks.
    pub timers: Rc<dyn Timers>,
    /// Who counts what the VM does. `None`: nobody, and it costs nothing.
    pub observer: Option<Arc<Observer>>,
}

impl Default for Services {
    /// The system's clock and randomness, messages to standard error from level info, shared data, queues and metrics of this process,
    /// and neither calls, ticks, foreign functions, properties nor an observer.
    fn default() -> Self {
        Services {
            log: Arc::new(StderrLog::default()),
            clock: Arc::new(SystemClock),
            random: Arc::new(OsRandom),
            metrics: InProcessMetrics::process(),
            shared_data: InProcessSharedData::process(),
            shared_queues: InProcessSharedQueues::process(),
            queue_waker: Arc::new(shared_queue::NoWaker),
            foreign: Arc::new(NoForeignFunctions),
            properties: Rc::new(NoProperties),
            http_calls: Rc::new(NoCalls),
            grpc_calls: Rc::new(NoCalls),
            timers: Rc::new(NoTimers),
            observer: None,
        }
    }
}
