//! Configuration of shadowing.

use std::sync::Arc;
use std::time::Duration;

use dynvm::observe::Observer;
use dynvm_compare::rules::Rules;

/// Configures a [`Rollout`](super::Rollout).
#[derive(Clone)]
#[non_exhaustive]
pub struct RolloutConfig {
    /// Maximum number of recorded streams queued for the shadow thread. Further ones are dropped
    /// and counted. Default: 256.
    pub queue: usize,
    /// Maximum size of one stream's recording in bytes. Larger streams are not compared, and are
    /// counted. Default: 4 MiB.
    pub max_recording: usize,
    /// Number of divergences kept with details; the first ones are kept. Default: 32.
    pub kept_divergences: usize,
    /// Callback budget of shadow VMs, unless their deployment sets one. A callback that exceeds it
    /// fails the shadow VM, where that is sound. Default: 1 s.
    pub callback_limit: Duration,
    /// Rules for declared differences of the shadow. Default: as in `dynvm ab` ([`Rules::default`]).
    ///
    /// A plugin that logs durations needs `Rules::default().allow(Rule::LogText)`.
    pub rules: Rules,
    /// Observer that exports the metrics to Prometheus.
    pub observer: Option<Arc<Observer>>,
}

impl Default for RolloutConfig {
    fn default() -> Self {
        RolloutConfig {
            queue: 256,
            max_recording: 4 << 20,
            kept_divergences: 32,
            callback_limit: Duration::from_secs(1),
            rules: Rules::default(),
            observer: None,
        }
    }
}
