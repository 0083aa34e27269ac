//! What other threads have for a thread's plugin, and how that thread is woken.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use dynvm::ContextId;
use dynvm::host::{QueueId, QueueWaker};

use crate::abi::cluster::Cluster;
use crate::abi::filter_config::FilterConfig;
use crate::calls::{CallEvent, CallOrder};

/// Something for a thread's plugin.
pub enum Message {
    /// A shared queue has an element.
    QueueReady {
        /// The version of the plugin that registered the queue.
        version: u64,
        /// Its root context.
        root: ContextId,
        /// The queue.
        queue: QueueId,
    },
    /// An event of a call that the main thread makes for the plugin.
    CallEvent(u64, CallEvent),
    /// To the main thread: something to do with a call, for the thread of that inbox.
    CallOrder(u64, CallOrder, Arc<Inbox>),
}

/// Messages for the plugin of one thread.
pub struct Inbox {
    messages: Mutex<Vec<Message>>,
    is_empty: AtomicBool,
    /// Of the main thread: the configuration that wakes it. `None`: a worker.
    main: Option<Arc<FilterConfig>>,
}

impl Inbox {
    /// An inbox of the main thread.
    pub fn of_main(config: Arc<FilterConfig>) -> Arc<Inbox> {
        Arc::new(Inbox { messages: Mutex::default(), is_empty: AtomicBool::new(true), main: Some(config) })
    }

    /// An inbox of a worker.
    pub fn of_worker() -> Arc<Inbox> {
        Arc::new(Inbox { messages: Mutex::default(), is_empty: AtomicBool::new(true), main: None })
    }

    /// Leaves a message and wakes the thread.
    pub fn post(&self, message: Message) {
        self.lock().push(message);
        self.is_empty.store(false, Ordering::Release);
        self.wake();
    }

    /// True if there are no messages.
    pub fn is_empty(&self) -> bool {
        self.is_empty.load(Ordering::Acquire)
    }

    /// The messages so far.
    pub fn take(&self) -> Vec<Message> {
        let mut messages = self.lock();
        self.is_empty.store(true, Ordering::Release);
        std::mem::take(&mut *messages)
    }

    /// Wakes the thread. A worker that cannot be woken looks into its inbox at its next event.
    pub fn wake(&self) {
        match &self.main {
            Some(config) => {
                config.wake_main();
            }
            None => wake_workers(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Message>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the thread that registered a queue.
pub struct Waker {
    /// The thread's inbox.
    pub inbox: Arc<Inbox>,
    /// The version of the plugin.
    pub version: u64,
}

impl QueueWaker for Waker {
    fn wake(&self, root: ContextId, queue: QueueId) {
        self.inbox.post(Message::QueueReady { version: self.version, root, queue });
    }
}

/// The clusters of this module. Each reaches all workers, so one is enough.
static CLUSTERS: Mutex<Vec<Weak<Cluster>>> = Mutex::new(Vec::new());

/// Registers a cluster that reaches the workers.
pub fn add_cluster(cluster: &Arc<Cluster>) {
    CLUSTERS.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(cluster));
}

/// True if workers can be woken.
pub fn reaches_workers() -> bool {
    Cluster::reaches_workers() && a_cluster().is_some()
}

/// Has every worker look into its inboxes and at its clock.
pub fn wake_workers() {
    if let Some(cluster) = a_cluster() {
        cluster.wake_main();
    }
}

fn a_cluster() -> Option<Arc<Cluster>> {
    let mut clusters = CLUSTERS.lock().unwrap_or_else(PoisonError::into_inner);
    clusters.retain(|cluster| cluster.strong_count() > 0);
    clusters.last().and_then(Weak::upgrade)
}
