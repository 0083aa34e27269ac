//! Services of a host: one trait per service, each with a default implementation inside the
//! process.
//!
//! A [`Services`] value has the services of one VM. Services shared by all VMs of a process (log,
//! metrics, shared data, queues) are `Send + Sync`; services bound to the VM's event loop (calls,
//! timers) need not be, unless the VM moves ([`MovableServices`]). The embedder's [`Stream`] has everything that belongs to one stream.
//!
//! The loader calls services inside callbacks, and they must not call back into the same VM.
//! Responses to calls, due ticks and queue events are delivered by the embedder through the methods
//! of [`Vm`](crate::Vm), after the callback has returned.

mod buffer;
mod calls;
mod clock;
mod foreign;
mod header_map;
#[cfg(feature = "http")]
pub mod http;
mod log;
mod metrics;
mod movable;
mod plugin_metrics;
mod properties;
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
pub use header_map::{AbsentMap, HeaderMap, Headers};
pub use log::{Log, LogSource, MemoryLog, NoLog, StderrLog};
pub use metrics::{InProcessMetrics, MetricError, MetricId, MetricValue, Metrics};
pub use movable::MovableServices;
pub use plugin_metrics::{plugin_metrics, write_plugin_metrics};
pub use properties::{NoProperties, Properties, PropertyContext};
pub use property::{PropertyError, PropertyPath};
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
///
/// ```
/// use std::sync::Arc;
///
/// use dynvm::abi::types::LogLevel;
/// use dynvm::host::{ManualClock, MemoryLog, Services};
///
/// let log = Arc::new(MemoryLog::with_level(LogLevel::Debug));
/// let mut services = Services::default();
/// services.log = log.clone();
/// services.clock = Arc::new(ManualClock::default());
/// // Start a VM with `services`. Its messages are in the log:
/// assert!(log.take().is_empty());
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Services {
    /// Receives log messages.
    pub log: Arc<dyn Log>,
    /// Source of time.
    pub clock: Arc<dyn Clock>,
    /// Source of random bytes, for WASI's `random_get` and the C library's functions.
    pub random: Arc<dyn Random>,
    /// Metrics that plugins define.
    pub metrics: Arc<dyn Metrics>,
    /// The key-value store shared by all VMs with the same `vm_id`.
    pub shared_data: Arc<dyn SharedData>,
    /// The queues shared by all VMs of the process.
    pub shared_queues: Arc<dyn SharedQueues>,
    /// Wakes this VM's event loop when one of its queues has an element.
    pub queue_waker: Arc<dyn QueueWaker>,
    /// Functions that plugins call by name.
    pub foreign: Arc<dyn ForeignFunctions>,
    /// Properties that do not belong to a stream.
    pub properties: Rc<dyn Properties>,
    /// Makes HTTP calls.
    pub http_calls: Rc<dyn HttpCalls>,
    /// Makes gRPC calls.
    pub grpc_calls: Rc<dyn GrpcCalls>,
    /// Sets tick periods.
    pub timers: Rc<dyn Timers>,
    /// What header map hostcalls return in a context that has no stream.
    pub absent_maps: AbsentMap,
    /// Hostcalls that this host does not implement (`proxy_http_call`, ...): the plugin gets
    /// `Unimplemented`, and no service is called. A plugin may still import them.
    pub unimplemented: &'static [&'static str],
    /// Counts the VM's callbacks and failures. `None` disables counting, which then costs nothing.
    pub observer: Option<Arc<Observer>>,
}

impl Default for Services {
    /// The system's clock and randomness; messages from level info to standard error; shared data,
    /// queues and metrics of this process; no calls, ticks, foreign functions, properties or
    /// observer.
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
            absent_maps: AbsentMap::Empty,
            unimplemented: &[],
            observer: None,
        }
    }
}
