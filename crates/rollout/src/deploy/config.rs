//! Configuration of a deployment: how its versions are tried, run and drained.

use std::sync::Arc;
use std::time::Duration;

use dynvm::host::{InProcessMetrics, InProcessSharedData, InProcessSharedQueues, Log, Services, StderrLog};
use dynvm::{PluginConfig, ReloadBackoff, VmConfig};

/// Creates the services for a new version's trial, on the thread that reloads.
pub type CanaryServices = Arc<dyn Fn() -> Services + Send + Sync>;

/// Configures a [`Deployment`](super::Deployment).
#[derive(Clone)]
#[non_exhaustive]
pub struct DeploymentConfig {
    /// Configuration of every VM.
    pub vm_config: VmConfig,
    /// The plugin's configuration; [`Deployment::reload_config`](super::Deployment::reload_config) replaces it.
    pub plugin_config: PluginConfig,
    /// How long an old version that returned false from `proxy_on_done` may take to call
    /// `proxy_done` before it is deleted anyway. Default: 10 s.
    pub drain_timeout: Duration,
    /// Backoff between replacements of a failing VM, under the failure policy `FAIL_RELOAD`.
    pub vm_backoff: ReloadBackoff,
    /// Backoff on a thread where a new version does not start: the old version serves until the
    /// next attempt. The first wait is `base`; each further one doubles, up to `max`. Default: 100
    /// ms, up to 10 s.
    pub start_backoff: ReloadBackoff,
    /// Services for a new version's trial. Default: [`isolated_services`].
    pub canary_services: CanaryServices,
    /// Log for the current version and for refused versions. Default: standard error.
    pub log: Arc<dyn Log>,
    /// How long a watched file must be unchanged before it is loaded. Default: 200 ms.
    #[cfg(feature = "watch")]
    pub watch_debounce: Duration,
}

impl DeploymentConfig {
    /// Defaults, with the given configuration of VM and plugin.
    pub fn new(vm_config: VmConfig, plugin_config: PluginConfig) -> DeploymentConfig {
        let mut start_backoff = ReloadBackoff::default();
        (start_backoff.base, start_backoff.max) = (Duration::from_millis(100), Duration::from_secs(10));
        DeploymentConfig {
            vm_config,
            plugin_config,
            drain_timeout: Duration::from_secs(10),
            vm_backoff: ReloadBackoff::default(),
            start_backoff,
            canary_services: Arc::new(isolated_services),
            log: Arc::new(StderrLog::default()),
            #[cfg(feature = "watch")]
            watch_debounce: Duration::from_millis(200),
        }
    }

    /// Sets the services for a new version's trial. They should differ from those that serve
    /// streams: a starting plugin may register queues, which takes them from the serving version,
    /// and may set shared data.
    pub fn canary_services(mut self, services: impl Fn() -> Services + Send + Sync + 'static) -> DeploymentConfig {
        self.canary_services = Arc::new(services);
        self
    }

    /// Sets the maximum time between `proxy_on_done` and `proxy_done`.
    pub fn drain_timeout(mut self, timeout: Duration) -> DeploymentConfig {
        self.drain_timeout = timeout;
        self
    }

    /// Sets the deployment's log.
    pub fn log(mut self, log: Arc<dyn Log>) -> DeploymentConfig {
        self.log = log;
        self
    }
}

/// Default services, with private metrics, shared data and queues instead of the process's.
///
/// They make no calls. A plugin that refuses to start without calls needs other services
/// ([`DeploymentConfig::canary_services`]).
pub fn isolated_services() -> Services {
    let mut services = Services::default();
    services.metrics = Arc::new(InProcessMetrics::default());
    services.shared_data = Arc::new(InProcessSharedData::default());
    services.shared_queues = Arc::new(InProcessSharedQueues::default());
    services
}
