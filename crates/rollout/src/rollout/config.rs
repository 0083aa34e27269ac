//! How a rollout shadows.

use std::sync::Arc;
use std::time::Duration;

use dynvm::observe::Observer;
use dynvm_compare::rules::Rules;

/// Configures a [`Rollout`](super::Rollout).
#[derive(Clone)]
#[non_exhaustive]
pub struct RolloutConfig {
    /// Most recorded streams that wait for the shadow thread. Those that find no room are dropped, and counted. Default: 256.
    pub queue: usize,
    /// Most bytes that the recording of one stream may take. A stream that needs more is not compared, and counted. Default: 4 MiB.
    pub max_recording: usize,
    /// How many divergences are kept with their details: the first. Default: 32.
    pub kept_divergences: usize,
    /// The callback budget of shadow VMs, unless their deployment has one. A callback that takes longer fails the shadow's VM, where
    /// that is sound. Default: 1 s.
    pub callback_limit: Duration,
    /// What the shadow may do differently by declaration. Default: as `dynvm ab` ([`Rules::default`]).
    ///
    /// A plugin that logs how long it took needs `Rules::default().allow(Rule::LogText)`.
    pub rules: Rules,
    /// Who shows the numbers to Prometheus.
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
