//! Shared queues between VMs, across threads and `vm_id`s.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex};

use crate::ContextId;

/// Number of a queue, unique in the process and never 0.
pub type QueueId = u32;

/// Error for a queue number that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownQueue;

/// Error of dequeuing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DequeueError {
    /// The queue has no elements.
    Empty,
    /// No queue has this number.
    UnknownQueue,
}

/// Notifies an event loop that a queue of one of its VMs has an element.
pub trait QueueWaker: Send + Sync {
    /// Called on the enqueuing thread, possibly inside a callback of the same VM. It must schedule
    /// a call of [`Vm::on_queue_ready`](crate::Vm::on_queue_ready) on the VM's own thread, and not
    /// make that call itself. `root` identifies the VM too ([`ContextId::vm`]).
    fn wake(&self, root: ContextId, queue: QueueId);
}

/// A waker without effect.
pub(super) struct NoWaker;

impl QueueWaker for NoWaker {
    fn wake(&self, _: ContextId, _: QueueId) {}
}

/// The consumer of a queue: the root that registered it last.
#[derive(Clone)]
pub struct Consumer {
    /// The root context.
    pub root: ContextId,
    /// Wakes the root's event loop.
    pub waker: Arc<dyn QueueWaker>,
}

/// Queues by `vm_id` and name.
pub trait SharedQueues: Send + Sync {
    /// Creates a queue, or replaces the consumer of an existing one, which keeps its elements.
    fn register(&self, vm_id: &str, name: &[u8], consumer: Consumer) -> QueueId;

    /// Removes a root context, which has ended or whose VM failed, as a consumer. Its queues and
    /// their elements stay.
    fn unregister(&self, root: ContextId);

    /// The number of a queue of any VM.
    fn resolve(&self, vm_id: &str, name: &[u8]) -> Option<QueueId>;

    /// Appends an element and wakes the consumer, if any, once per element.
    fn enqueue(&self, queue: QueueId, value: &[u8]) -> Result<(), UnknownQueue>;

    /// Removes and returns the first element.
    fn dequeue(&self, queue: QueueId) -> Result<Vec<u8>, DequeueError>;
}

struct Queue {
    consumer: Option<Consumer>,
    elements: VecDeque<Vec<u8>>,
}

#[derive(Default)]
struct Queues {
    ids: HashMap<(String, Vec<u8>), QueueId>,
    queues: Vec<Queue>,
}

/// Queues in the memory of this process.
#[derive(Default)]
pub struct InProcessSharedQueues {
    queues: Mutex<Queues>,
}

impl InProcessSharedQueues {
    /// The instance that all VMs share by default.
    pub fn process() -> Arc<InProcessSharedQueues> {
        static PROCESS: LazyLock<Arc<InProcessSharedQueues>> = LazyLock::new(Arc::default);
        PROCESS.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// A copy of all elements, for [`restore`](InProcessSharedQueues::restore).
    pub fn save(&self) -> SavedQueues {
        SavedQueues(self.lock().queues.iter().map(|queue| queue.elements.clone()).collect())
    }

    /// Restores saved elements. A queue that was registered later becomes empty. No consumer is
    /// woken.
    pub fn restore(&self, saved: &SavedQueues) {
        for (index, queue) in self.lock().queues.iter_mut().enumerate() {
            match saved.0.get(index) {
                Some(elements) => queue.elements.clone_from(elements),
                None => queue.elements.clear(),
            }
        }
    }
}

/// A copy of the elements of each queue, indexed by queue number.
pub struct SavedQueues(Vec<VecDeque<Vec<u8>>>);

impl Queues {
    fn get(&mut self, id: QueueId) -> Option<&mut Queue> {
        self.queues.get_mut((id as usize).checked_sub(1)?)
    }
}

impl SharedQueues for InProcessSharedQueues {
    fn register(&self, vm_id: &str, name: &[u8], consumer: Consumer) -> QueueId {
        let mut queues = self.lock();
        let key = (vm_id.to_owned(), name.to_owned());
        if let Some(id) = queues.ids.get(&key).copied() {
            queues.get(id).expect("ids name existing queues").consumer = Some(consumer);
            return id;
        }
        queues.queues.push(Queue { consumer: Some(consumer), elements: VecDeque::new() });
        let id = QueueId::try_from(queues.queues.len()).expect("fewer than 2^32 queues");
        queues.ids.insert(key, id);
        id
    }

    fn unregister(&self, root: ContextId) {
        for queue in &mut self.lock().queues {
            // A root that registered the queue later stays its consumer.
            queue.consumer.take_if(|consumer| consumer.root == root);
        }
    }

    fn resolve(&self, vm_id: &str, name: &[u8]) -> Option<QueueId> {
        self.lock().ids.get(&(vm_id.to_owned(), name.to_owned())).copied()
    }

    fn enqueue(&self, queue: QueueId, value: &[u8]) -> Result<(), UnknownQueue> {
        let consumer = {
            let mut queues = self.lock();
            let queue = queues.get(queue).ok_or(UnknownQueue)?;
            queue.elements.push_back(value.to_owned());
            queue.consumer.clone()
        };
        // Called without the lock, because a waker may take locks itself.
        if let Some(consumer) = consumer {
            consumer.waker.wake(consumer.root, queue);
        }
        Ok(())
    }

    fn dequeue(&self, queue: QueueId) -> Result<Vec<u8>, DequeueError> {
        let mut queues = self.lock();
        let queue = queues.get(queue).ok_or(DequeueError::UnknownQueue)?;
        queue.elements.pop_front().ok_or(DequeueError::Empty)
    }
}
