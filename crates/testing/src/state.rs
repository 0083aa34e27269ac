//! A plugin's state in the host: metrics, shared data, queues.

use std::time::Duration;

use dynvm::host::{Clock as _, MetricValue, SharedQueues as _};

use crate::TestHost;

/// State in the host.
impl TestHost {
    /// A metric defined by the plugin.
    pub fn metric(&self, name: &str) -> Option<MetricValue> {
        let metrics = self.memory().metrics();
        metrics.into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The value of a counter.
    ///
    /// # Panics
    ///
    /// The plugin has defined no such counter.
    #[track_caller]
    pub fn counter(&self, name: &str) -> u64 {
        match self.metric(name) {
            Some(MetricValue::Counter(value)) => value,
            other => self.no_metric("counter", name, other),
        }
    }

    /// The value of a gauge.
    ///
    /// # Panics
    ///
    /// The plugin has defined no such gauge.
    #[track_caller]
    pub fn gauge(&self, name: &str) -> i64 {
        match self.metric(name) {
            Some(MetricValue::Gauge(value)) => value,
            other => self.no_metric("gauge", name, other),
        }
    }

    #[track_caller]
    fn no_metric(&self, kind: &str, name: &str, found: Option<MetricValue>) -> ! {
        let known: Vec<String> = self.memory().metrics().into_iter().map(|(name, _)| name).collect();
        panic!("no {kind} {name:?} (found {found:?}); the plugin's metrics are {known:?}")
    }

    /// The value of a key in the shared data of the plugin's `vm_id`.
    pub fn shared_data(&self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        self.memory().shared_data(key.as_ref())
    }

    /// Sets a key in the shared data of the plugin's `vm_id`, as another worker would.
    pub fn set_shared_data(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.memory().set_shared_data(key.as_ref(), value.as_ref());
    }

    /// Enqueues a value in a queue of the plugin's `vm_id`, as another VM would, and delivers `proxy_on_queue_ready`.
    ///
    /// # Panics
    ///
    /// No VM has registered the queue.
    #[track_caller]
    pub fn enqueue(&self, queue: &str, value: impl AsRef<[u8]>) {
        self.transcript.note(format!("a value is put into the queue {queue:?}"));
        let put = {
            let host = self.memory();
            let queues = host.shared_queues();
            let id = queues.resolve(host.vm_id(), queue.as_bytes());
            id.map(|id| queues.enqueue(id, value.as_ref()).is_ok())
        };
        assert_eq!(put, Some(true), "no VM has registered the queue {queue:?}");
        self.drive(|host| host.advance(Duration::ZERO));
    }

    /// Dequeues the first value of a queue of the plugin's `vm_id`; `None` if the queue is empty or does not exist.
    pub fn dequeue(&self, queue: &str) -> Option<Vec<u8>> {
        let host = self.memory();
        let queues = host.shared_queues();
        queues.dequeue(queues.resolve(host.vm_id(), queue.as_bytes())?).ok()
    }

    /// The host's time since 1970.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.memory().clock().realtime_ns())
    }
}
