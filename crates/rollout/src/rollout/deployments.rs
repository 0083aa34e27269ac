//! Two deployments, and the share of streams of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dynvm::StartError;
use dynvm::host::Services;
use dynvm::observe::Collect;

use super::queue::{self, Queue};
use super::{Counters, RolloutConfig, RolloutSnapshot, RolloutWorker, Share};
use crate::deploy::Deployment;

/// One of the two deployments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arm {
    /// The deployment in service.
    Stable = 0,
    /// Its intended replacement.
    Candidate = 1,
}

impl Arm {
    /// Both arms.
    pub const ALL: [Arm; 2] = [Arm::Stable, Arm::Candidate];

    /// Name in metrics: `stable` or `candidate`.
    pub const fn name(self) -> &'static str {
        match self {
            Arm::Stable => "stable",
            Arm::Candidate => "candidate",
        }
    }

    /// The other arm.
    pub const fn other(self) -> Arm {
        match self {
            Arm::Stable => Arm::Candidate,
            Arm::Candidate => Arm::Stable,
        }
    }
}

/// Two deployments of one plugin, the share of streams served by the candidate, and the share that
/// is shadowed. Clones refer to the same rollout.
///
/// Any thread may change the shares at any time; a change applies to new streams. Either deployment
/// may be reloaded meanwhile.
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
    /// Creates a rollout in which the stable deployment serves every stream and nothing is
    /// shadowed. Starts the shadow thread, which ends with the last clone and worker; dropping the
    /// last one waits for it.
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

    /// Sets the share of streams served by the candidate.
    pub fn set_split(&self, share: Share) {
        self.shared.split.store(share.millionths(), Ordering::Relaxed);
        self.shared.counters.set_split(share);
    }

    /// Sets the share of streams shadowed by the deployment that does not serve them.
    pub fn set_shadow(&self, share: Share) {
        self.shared.shadow.store(share.millionths(), Ordering::Relaxed);
        self.shared.counters.set_shadow(share);
    }

    /// The share of streams served by the candidate.
    #[inline]
    pub fn split(&self) -> Share {
        Share::from_millionths(self.shared.split.load(Ordering::Relaxed))
    }

    /// The share of shadowed streams.
    #[inline]
    pub fn shadow(&self) -> Share {
        Share::from_millionths(self.shared.shadow.load(Ordering::Relaxed))
    }

    /// One of the deployments, e.g. to reload it.
    pub fn deployment(&self, arm: Arm) -> &Deployment {
        &self.shared.deployments[arm as usize]
    }

    /// Starts the stable deployment on this thread; the candidate starts with its first stream.
    /// `services` returns the services for each arm and version, as in [`Deployment::worker`].
    /// Shadows do not use them.
    ///
    /// # Errors
    ///
    /// The stable deployment does not start on this thread.
    pub fn worker(&self, services: impl FnMut(Arm, u64) -> Services + 'static) -> Result<RolloutWorker, StartError> {
        RolloutWorker::start(self.clone(), services)
    }

    /// The counters so far, summed over all threads.
    pub fn snapshot(&self) -> RolloutSnapshot {
        self.shared.counters.snapshot()
    }

    /// Waits until the shadow thread has compared all recordings so far, or until the timeout, e.g.
    /// before the process ends. Returns whether it has.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.shared.queue.flush(timeout)
    }
}
