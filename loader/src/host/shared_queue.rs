//! Shared queues: between VMs, across threads and `vm_id`s.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex};

use crate::ContextId;

/// A queue, by number; process-wide and never 0.
pub type QueueId = u32;

/// There is no such queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownQueue;

/// Why nothing was dequeued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DequeueError {
    /// The queue has no element.
    Empty,
    /// There is no such queue.
    UnknownQueue,
}

/// Tells an event loop that a queue of one of its VMs has something.
pub trait QueueWaker: Send + Sync {
    /// Called from the enqueuing thread, possibly from within a callback of the same VM: have the VM's own thread call
    /// [`Vm::on_queue_ready`](crate::Vm::on_queue_ready), do not call it here. `root` names the VM too ([`ContextId::vm`]).
    fn wake(&self, root: ContextId, queue: QueueId);
}

/// Wakes nobody.
pub(super) struct NoWaker;

impl QueueWaker for NoWaker {
    fn wake(&self, _: ContextId, _: QueueId) {}
}

/// Who is told of new elements: the last that registered the queue.
#[derive(Clone)]
pub struct Consumer {
    /// Its root context.
    pub root: ContextId,
    /// How to reach its event loop.
    pub waker: Arc<dyn QueueWaker>,
}

/// Queues by name and `vm_id`.
pub trait SharedQueues: Send + Sync {
    /// Creates a queue, or takes over an existing one with what it holds.
    fn register(&self, vm_id: &str, name: &[u8], consumer: Consumer) -> QueueId;

    /// The root context has ended, or its VM failed: no element wakes it any more. Its queues and what they hold stay.
    fn unregister(&self, root: ContextId);

    /// Finds a queue of any VM.
    fn resolve(&self, vm_id: &str, name: &[u8]) -> Option<QueueId>;

    /// Appends an element and wakes the consumer, if there is one, once per element.
    fn enqueue(&self, queue: QueueId, value: &[u8]) -> Result<(), UnknownQueue>;

    /// Takes the first element.
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

/// The queues of this process, in memory.
#[derive(Default)]
pub struct InProcessSharedQueues {
    queues: Mutex<Queues>,
}

impl InProcessSharedQueues {
    /// Those that VMs share when the embedder brings none of its own.
    pub fn process() -> Arc<InProcessSharedQueues> {
        static PROCESS: LazyLock<Arc<InProcessSharedQueues>> = LazyLock::new(Arc::default);
        PROCESS.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// What is in the queues now.
    pub fn save(&self) -> SavedQueues {
        SavedQueues(self.lock().queues.iter().map(|queue| queue.elements.clone()).collect())
    }

    /// Goes back to elements that were saved. A queue that was registered since is emptied. Nobody is woken.
    pub fn restore(&self, saved: &SavedQueues) {
        for (index, queue) in self.lock().queues.iter_mut().enumerate() {
            match saved.0.get(index) {
                Some(elements) => queue.elements.clone_from(elements),
                None => queue.elements.clear(),
            }
        }
    }
}

/// The elements of each queue, by its number, at one moment.
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
            // Whoever registered a queue after this root keeps it.
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
        // Outside of the lock: a waker may take locks of its own.
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
