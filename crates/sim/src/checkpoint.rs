//! Checkpoints, so that repeated traffic starts from the same state.

use dynvm::host::{Clock as _, SavedData, SavedQueues};

use crate::SimProxy;
use crate::events::Waiting;

/// A saved state of a [`SimProxy`]: see [`SimProxy::checkpoint`].
pub struct Checkpoint {
    realtime_ns: u64,
    random: u64,
    data: SavedData,
    queues: SavedQueues,
    waiting: Waiting,
}

impl SimProxy {
    /// Saves the state of the host: time of day, randomness, shared data, and queue contents.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            realtime_ns: self.shared.clock.realtime_ns(),
            random: self.random.state(),
            data: self.shared.data.save(),
            queues: self.shared.queues.save(),
            waiting: self.queues.save(),
        }
    }

    /// Restores a state of this host. Each timer restarts its period.
    ///
    /// The VM keeps its memory, so state in the plugin's variables survives. Metrics keep their
    /// values and pending calls stay pending, because the plugin holds their ids. The monotonic
    /// clock never goes back. Hosts that [share](crate::SimProxyBuilder::sharing) their state are
    /// restored together.
    pub fn restore(&mut self, checkpoint: &Checkpoint) {
        self.shared.clock.set(std::time::Duration::from_nanos(checkpoint.realtime_ns));
        self.random.set_state(checkpoint.random);
        self.shared.data.restore(&checkpoint.data);
        self.shared.queues.restore(&checkpoint.queues);
        self.queues.restore(&checkpoint.waiting);
        self.timers.restart();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dynvm::Loader;
    use dynvm::host::{Consumer, DequeueError, Random as _, SharedQueues as _};

    use super::*;

    #[test]
    fn a_host_goes_back_to_where_it_was() {
        let module =
            Loader::new().unwrap().load_bytes("p.wat", br#"(module (func (export "proxy_abi_version_0_2_1")))"#);
        let start = Duration::from_secs(1_700_000_000);
        let mut host = SimProxy::builder().clock_at(start).start(&module.unwrap()).unwrap();
        let consumer = Consumer { root: host.plugin.root(), waker: host.queues.clone() };
        let queue = host.shared.queues.register("", b"queue", consumer.clone());
        host.set_shared_data(b"kept", b"1");
        let checkpoint = host.checkpoint();

        let random = |host: &SimProxy| {
            let mut bytes = [0; 8];
            assert!(host.random.fill(&mut bytes));
            bytes
        };
        let first = random(&host);
        for _ in 0..2 {
            host.advance(Duration::from_secs(3600));
            host.set_shared_data(b"kept", b"2");
            host.set_shared_data(b"new", b"3");
            let later = host.shared.queues.register("", b"later", consumer.clone());
            for queue in [queue, later] {
                host.shared.queues.enqueue(queue, b"element").unwrap();
            }
            let monotonic = host.clock().monotonic_ns();
            host.restore(&checkpoint);
            assert_eq!(host.clock().realtime_ns(), start.as_nanos() as u64);
            assert_eq!(host.clock().monotonic_ns(), monotonic, "it never goes back");
            assert_eq!((host.shared_data(b"kept").as_deref(), host.shared_data(b"new")), (Some(&b"1"[..]), None));
            for queue in [queue, later] {
                assert_eq!(host.shared.queues.dequeue(queue), Err(DequeueError::Empty));
            }
            assert_eq!(host.queues.take(), None, "no event for what is gone");
            assert_eq!(random(&host), first);
        }
        host.advance(Duration::from_secs(5));
        assert_eq!(host.clock().realtime_ns(), (start + Duration::from_secs(5)).as_nanos() as u64);
    }
}
