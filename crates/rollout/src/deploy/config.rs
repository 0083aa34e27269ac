//! How a deployment's versions are tried, run and ended.

use std::sync::Arc;
use std::time::Duration;

use dynvm::host::{InProcessMetrics, InProcessSharedData, InProcessSharedQueues, Log, Services, StderrLog};
use dynvm::{PluginConfig, ReloadBackoff, VmConfig};

/// Makes the services for trying a new version, on the thread that reloads.
pub type CanaryServices = Arc<dyn Fn() -> Services + Send + Sync>;

/// Configures a [`Deployment`](super::Deployment).
#[derive(Clone)]
#[non_exhaustive]
pub struct DeploymentConfig {
    /// The configuration of every VM.
    pub vm_config: VmConfig,
    /// The plugin's configuration; [`Deployment::reload_config`](super::Deployment::reload_config) replaces it.
    pub plugin_config: PluginConfig,
    /// How long an old version that has answered `proxy_on_done` with false may take until its `proxy_done`. Then it is ended all the
    /// same. Default: 10 s.
    pub drain_timeout: Duration,
    /// How long to wait between replacements of a VM that fails, as the failure policy `FAIL_RELOAD` has it.
    pub vm_backoff: ReloadBackoff,
    /// How long a thread on which a new version does not start goes on with the old one before it tries again. The first wait is `base`,
    /// and each that follows is twice as long, up to `max`. Default: 100 ms, up to 10 s.
    pub start_backoff: ReloadBackoff,
    /// What a new version has for services while it is tried. Default: [`isolated_services`].
    pub canary_services: CanaryServices,
    /// Where the deployment says which version is current, and why a version was refused. Default: standard error.
    pub log: Arc<dyn Log>,
    /// How long a watched file must have been left alone before it is loaded. Default: 200 ms.
    #[cfg(feature = "watch")]
    pub watch_debounce: Duration,
}

impl DeploymentConfig {
    /// The defaults with a VM's and a plugin's configuration.
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

    /// Sets the services for trying a new version. They should not be those that serve streams: a plugin that starts may register
    /// queues, which takes them from the version that serves, and may set shared data.
    pub fn canary_services(mut self, services: impl Fn() -> Services + Send + Sync + 'static) -> DeploymentConfig {
        self.canary_services = Arc::new(services);
        self
    }

    /// Sets the time between `proxy_on_done` and `proxy_done`.
    pub fn drain_timeout(mut self, timeout: Duration) -> DeploymentConfig {
        self.drain_timeout = timeout;
        self
    }

    /// Sets where the deployment logs.
    pub fn log(mut self, log: Arc<dyn Log>) -> DeploymentConfig {
        self.log = log;
        self
    }
}

/// The default services, with metrics, shared data and queues of their own instead of the process's.
///
/// They make no calls. A plugin that refuses to start when it cannot call needs others ([`DeploymentConfig::canary_services`]).
pub fn isolated_services() -> Services {
    let mut services = Services::default();
    services.metrics = Arc::new(InProcessMetrics::default());
    services.shared_data = Arc::new(InProcessSharedData::default());
    services.shared_queues = Arc::new(InProcessSharedQueues::default());
    services
}
