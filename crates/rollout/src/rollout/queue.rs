//! The queue from serving threads to the shadow thread. Serving threads never block on it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use dynvm_compare::rules::Rules;

use super::recording::Recording;
use super::replay::Replayer;
use super::{Arm, Counters, RolloutConfig};
use crate::deploy::Deployment;

/// Sends recordings to the shadow thread.
pub(super) struct Queue {
    /// `None` once the queue is closed.
    recordings: Option<SyncSender<Box<Recording>>>,
    pending: Arc<Pending>,
    thread: Option<JoinHandle<()>>,
    /// Tells the shadow thread to stop comparing.
    ending: Arc<AtomicBool>,
}

/// How long dropping a rollout waits for the shadow thread, which may be in a hanging plugin.
const PATIENCE: Duration = Duration::from_secs(5);

impl Drop for Queue {
    /// Ends the shadow thread and waits for it, so that its VMs do not outlive the process's static data.
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        drop(self.recordings.take());
        let Some(thread) = self.thread.take() else { return };
        let begun = Instant::now();
        while !thread.is_finished() && begun.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(1));
        }
        if thread.is_finished() {
            // A panic was printed already and affects no other thread.
            let _ = thread.join();
        }
    }
}

/// Number of recordings sent but not yet compared.
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

/// Starts the shadow thread. It ends when the queue is dropped, after the current comparison;
/// queued recordings are discarded.
pub(super) fn start(deployments: [Deployment; 2], config: &RolloutConfig, counters: Arc<Counters>) -> Queue {
    let (sender, receiver) = sync_channel(config.queue);
    let pending = Arc::new(Pending::default());
    let (limit, rules, its_pending) = (config.callback_limit, config.rules, pending.clone());
    let ending = Arc::new(AtomicBool::new(false));
    let its_ending = ending.clone();
    let run = move || shadow(&receiver, deployments, (limit, rules), &counters, &its_pending, &its_ending);
    // If the thread cannot be started, nothing receives, and every recording counts as dropped.
    let thread = thread::Builder::new().name("dynvm-shadow".to_owned()).spawn(run).ok();
    Queue { recordings: Some(sender), pending, thread, ending }
}

/// Main loop of the shadow thread.
fn shadow(
    recordings: &Receiver<Box<Recording>>,
    deployments: [Deployment; 2],
    (limit, rules): (Duration, Rules),
    counters: &Arc<Counters>,
    pending: &Pending,
    ending: &AtomicBool,
) {
    let [stable, candidate] = deployments;
    let mut replayers = [(Arm::Stable, stable), (Arm::Candidate, candidate)]
        .map(|(arm, deployment)| Replayer::new(arm, deployment, limit, rules));
    while let Ok(recording) = recordings.recv() {
        if ending.load(Ordering::Relaxed) {
            break;
        }
        let arm: Arm = recording.arm.other();
        replayers[arm as usize].compare(&recording, counters);
        pending.finish();
    }
}

impl Queue {
    /// Sends a recording; returns false if the queue is full.
    pub(super) fn send(&self, recording: Box<Recording>) -> bool {
        let Some(recordings) = &self.recordings else { return false };
        *self.pending.lock() += 1;
        let sent = recordings.try_send(recording).is_ok();
        if !sent {
            self.pending.finish();
        }
        sent
    }

    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let waited = self.pending.done.wait_timeout_while(self.pending.lock(), timeout, |count| *count > 0);
        *waited.unwrap_or_else(|e| e.into_inner()).0 == 0
    }
}
