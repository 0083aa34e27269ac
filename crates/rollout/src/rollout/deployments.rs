//! Two deployments, and which share of streams each gets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dynvm::StartError;
use dynvm::host::Services;
use dynvm::observe::Collect;

use super::queue::{self, Queue};
use super::{Counters, RolloutConfig, RolloutSnapshot, RolloutWorker, Share};
use crate::deploy::Deployment;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arm {
    /// What serves today.
    Stable = 0,
    /// What is to replace it.
    Candidate = 1,
}

impl Arm {
    /// Both.
    pub const ALL: [Arm; 2] = [Arm::Stable, Arm::Candidate];

    /// Its name in metrics: `stable` or `candidate`.
    pub const fn name(self) -> &'static str {
        match self {
            Arm::Stable => "stable",
            Arm::Candidate => "candidate",
        }
    }

    /// The one that does not answer where this one does.
    pub const fn other(self) -> Arm {
        match self {
            Arm::Stable => Arm::Candidate,
            Arm::Candidate => Arm::Stable,
        }
    }
}

/// Two deployments of one plugin, with the share of streams that the candidate answers and the share that is shadowed. `Clone` shares it.
///
/// The shares may be changed on any thread at any time; they decide about streams that begin from then on. Either deployment may be
/// reloaded meanwhile.
#[derive(Clone)]
pub struct Rollout {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) deployments: [Deployment; 2],
    split: AtomicU32,
    shadow: AtomicU32,
    pub(super) config: RolloutConfig,
    pub(super) counters: Arc<Counters>,
    pub(super) queue: Queue,
}

impl Rollout {
    /// A rollout in which the stable deployment answers every stream and nothing is shadowed. Starts the shadow thread, which ends with
    /// the last clone and worker; they wait for it.
    pub fn new(stable: Deployment, candidate: Deployment, config: RolloutConfig) -> Rollout {
        let plugin = stable.plugin_name();
        let counters = Arc::new(Counters::new(plugin, config.kept_divergences));
        if let Some(observer) = &config.observer {
            let collector: Arc<dyn Collect> = counters.clone();
            observer.register(Arc::downgrade(&collector));
        }
        let deployments = [stable, candidate];
        let queue = queue::start(deployments.clone(), &config, counters.clone());
        let (split, shadow) = (AtomicU32::new(0), AtomicU32::new(0));
        Rollout { shared: Arc::new(Shared { deployments, split, shadow, config, counters, queue }) }
    }

    /// Sets the share of streams that the candidate answers.
    pub fn set_split(&self, share: Share) {
        self.shared.split.store(share.millionths(), Ordering::Relaxed);
        self.shared.counters.set_split(share);
    }

    /// Sets the share of streams that are shadowed by whichever deployment does not answer.
    pub fn set_shadow(&self, share: Share) {
        self.shared.shadow.store(share.millionths(), Ordering::Relaxed);
        self.shared.counters.set_shadow(share);
    }

    /// The share of streams that the candidate answers.
    #[inline]
    pub fn split(&self) -> Share {
        Share::from_millionths(self.shared.split.load(Ordering::Relaxed))
    }

    /// The share of streams that are shadowed.
    #[inline]
    pub fn shadow(&self) -> Share {
        Share::from_millionths(self.shared.shadow.load(Ordering::Relaxed))
    }

    /// One of the deployments, to reload it.
    pub fn deployment(&self, arm: Arm) -> &Deployment {
        &self.shared.deployments[arm as usize]
    }

    /// Starts the stable deployment on this thread; the candidate starts here with its first stream. The services are those that serve
    /// streams, for each arm and version, as [`Deployment::worker`] wants them. A shadow gets none of them.
    ///
    /// # Errors
    ///
    /// The stable deployment does not start on this thread.
    pub fn worker(&self, services: impl FnMut(Arm, u64) -> Services + 'static) -> Result<RolloutWorker, StartError> {
        RolloutWorker::start(self.clone(), services)
    }

    /// What was counted so far, on all threads.
    pub fn snapshot(&self) -> RolloutSnapshot {
        self.shared.counters.snapshot()
    }

    /// Waits until the shadow thread has compared all that was recorded so far, at most so long: before the process ends, and in tests.
    /// False: it has not.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.shared.queue.flush(timeout)
    }
}
