//! The way from threads that serve to the shadow thread. Who serves never waits.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use super::recording::Recording;
use super::replay::Replayer;
use super::{Arm, Counters, RolloutConfig};
use crate::deploy::Deployment;

/// Takes recordings to the shadow thread.
pub(super) struct Queue {
    recordings: SyncSender<Box<Recording>>,
    pending: Arc<Pending>,
}

/// How many recordings have been sent and not compared.
#[derive(Default)]
struct Pending {
    count: Mutex<usize>,
    done: Condvar,
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, usize> {
        self.count.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn finish(&self) {
        *self.lock() -= 1;
        self.done.notify_all();
    }
}

/// Starts the shadow thread. It ends when the queue is dropped, after what it is at.
pub(super) fn start(deployments: [Deployment; 2], config: &RolloutConfig, counters: Arc<Counters>) -> Queue {
    let (sender, receiver) = sync_channel(config.queue);
    let pending = Arc::new(Pending::default());
    let (limit, its_pending) = (config.callback_limit, pending.clone());
    let run = move || shadow(&receiver, deployments, limit, &counters, &its_pending);
    // Without a thread nobody receives, and each recording counts as dropped.
    let _ = thread::Builder::new().name("dynvm-shadow".to_owned()).spawn(run);
    Queue { recordings: sender, pending }
}

/// The shadow thread.
fn shadow(
    recordings: &Receiver<Box<Recording>>,
    deployments: [Deployment; 2],
    limit: Duration,
    counters: &Arc<Counters>,
    pending: &Pending,
) {
    let [stable, candidate] = deployments;
    let mut replayers = [Replayer::new(Arm::Stable, stable, limit), Replayer::new(Arm::Candidate, candidate, limit)];
    while let Ok(recording) = recordings.recv() {
        let arm: Arm = recording.arm.other();
        replayers[arm as usize].compare(&recording, counters);
        pending.finish();
    }
}

impl Queue {
    /// Hands a recording over; false: there is no room.
    pub(super) fn send(&self, recording: Box<Recording>) -> bool {
        *self.pending.lock() += 1;
        match self.recordings.try_send(recording) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.pending.finish();
                false
            }
        }
    }

    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let waited = self.pending.done.wait_timeout_while(self.pending.lock(), timeout, |count| *count > 0);
        *waited.unwrap_or_else(|e| e.into_inner()).0 == 0
    }
}
