//! One filter configuration: the plugin that it deploys, for all threads.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use dynvm::abi::types::LogLevel;
use dynvm::host::{InProcessSharedData, InProcessSharedQueues, Services};
use dynvm::{FailurePolicy, Loader, LoaderOptions, with_causes};
use dynvm_rollout::deploy::{Deployment, DeploymentConfig, Source, Watch, isolated_services};

use crate::abi::filter_config::FilterConfig;
use crate::config::{Code, Settings};
use crate::foreign::EnvoyFunctions;
use crate::inbox::Inbox;
use crate::log::{EnvoyLog, about};
use crate::metrics::EnvoyMetrics;
use crate::properties::ConfiguredProperties;

/// The plugin of one filter configuration.
pub struct Deployed {
    /// Unique in the process.
    pub id: u64,
    /// The plugin's name.
    pub name: String,
    /// Its failure policy.
    pub failure_policy: FailurePolicy,
    /// Its versions.
    pub deployment: Deployment,
    /// The configuration in Envoy.
    pub config: Arc<FilterConfig>,
    /// The metrics that its plugin defines.
    pub metrics: Arc<EnvoyMetrics>,
    /// Where worker threads leave messages for the main thread.
    pub main_inbox: Arc<Inbox>,
    properties: Vec<(String, Vec<u8>)>,
    retired: AtomicBool,
    /// Ended with the configuration, as its end may wait for a reload.
    watch: Mutex<Option<Watch>>,
}

impl Deployed {
    /// Loads the plugin of a configuration and tries it on this thread.
    pub fn new(settings: Settings, config: Arc<FilterConfig>) -> Result<Arc<Deployed>, String> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let Settings { plugin, vm, code, loader, backoff, watch, drain_timeout, properties } = settings;
        let loader = loader_with(loader).map_err(|error| with_causes(&error))?;
        let metrics = Arc::new(EnvoyMetrics::new(config.clone()));
        let (name, failure_policy) = (plugin.name.clone(), plugin.failure_policy);
        let mut deployment = DeploymentConfig::new(vm, plugin).log(Arc::new(EnvoyLog));
        deployment.vm_backoff = backoff;
        if let Some(timeout) = drain_timeout {
            deployment = deployment.drain_timeout(timeout);
        }
        let (trial_metrics, trial_properties) = (metrics.clone(), properties.clone());
        deployment = deployment.canary_services(move || {
            let mut services = isolated_services();
            services.log = Arc::new(EnvoyLog);
            services.metrics = trial_metrics.clone();
            services.properties = Rc::new(ConfiguredProperties::new(&trial_properties));
            services
        });
        let source = match code {
            Code::File(path) => Source::File(path),
            Code::Inline(bytes) => Source::bytes(format!("{name} (inline)"), bytes),
        };
        let deployment = Deployment::new(loader, source, deployment).map_err(|error| with_causes(&error))?;
        let watch = watch.then(|| deployment.watch()).transpose().map_err(|error| with_causes(&error))?;
        metrics.close();
        let module = deployment.status().current.module;
        let chosen = module.chosen.as_ref().map(|choice| format!(" ({})", choice.reason)).unwrap_or_default();
        about(LogLevel::Info, &name, &format!("{}: {:?}{chosen}", module.name, module.backend()));
        let deployed = Arc::new(Deployed {
            id: LAST.fetch_add(1, Ordering::Relaxed) + 1,
            name,
            failure_policy,
            deployment,
            main_inbox: Inbox::of_main(config.clone()),
            config,
            metrics,
            properties,
            retired: AtomicBool::new(false),
            watch: Mutex::new(watch),
        });
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|deployed| deployed.strong_count() > 0);
        all.push(Arc::downgrade(&deployed));
        Ok(deployed)
    }

    /// The services of the plugin's VMs but those that belong to a thread.
    pub fn services(&self) -> Services {
        let mut services = Services::default();
        services.log = Arc::new(EnvoyLog);
        services.metrics = self.metrics.clone();
        services.shared_data = InProcessSharedData::process();
        services.shared_queues = InProcessSharedQueues::process();
        services.foreign = Arc::new(EnvoyFunctions);
        services.properties = Rc::new(ConfiguredProperties::new(&self.properties));
        services
    }

    /// Envoy has destroyed the configuration. Threads drop the plugin when its streams have ended.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        self.config.forget();
        drop(self.watch.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// True if Envoy has destroyed the configuration.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Logs a message about the filter.
    pub fn log(&self, level: LogLevel, message: &str) {
        about(level, &self.name, message);
    }
}

/// What a filter does on a route.
#[derive(Clone)]
pub enum RouteConfig {
    /// Nothing.
    Disabled,
    /// It runs this plugin instead of its own.
    Plugin(Arc<Deployed>),
}

/// True once Envoy has had a configuration of a route. Until then, streams need not ask for theirs.
pub static ROUTES_HAVE_CONFIGS: AtomicBool = AtomicBool::new(false);

static ALL: Mutex<Vec<Weak<Deployed>>> = Mutex::new(Vec::new());

/// All configurations that Envoy has.
pub fn all() -> Vec<Arc<Deployed>> {
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.iter().filter_map(Weak::upgrade).filter(|deployed| !deployed.is_retired()).collect()
}

/// A loader with these options. Filters with the same options share one, and with it the compiler's engine.
fn loader_with(options: LoaderOptions) -> Result<Loader, dynvm::LoadError> {
    static LOADERS: Mutex<Vec<(String, Loader)>> = Mutex::new(Vec::new());
    let key = format!("{options:?}");
    let mut loaders = LOADERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, loader)) = loaders.iter().find(|(of, _)| *of == key) {
        return Ok(loader.clone());
    }
    let loader = Loader::with_options(options)?;
    loaders.push((key, loader.clone()));
    Ok(loader)
}
