//! A plugin that survives failures: its failed VM is replaced as the failure policy says.

use std::time::{Duration, Instant};

use crate::call_trace::Tracer;
use crate::error::StartError;
use crate::host::Services;
use crate::observe::Reload;
use crate::telemetry;
use crate::{ContextId, FailurePolicy, Module, PluginConfig, Vm, VmConfig};

/// Delay between replacements of a VM that fails repeatedly (Envoy: `ReloadConfig.backoff`).
///
/// A VM is replaced at the earliest `base` after it was started, so one that served longer is
/// replaced at once. A failure within `max` after the previous delay doubles the delay, up to `max`;
/// a later one starts again at `base`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ReloadBackoff {
    /// Time between the start of a VM and its replacement, at first.
    pub base: Duration,
    /// Upper limit of the delay.
    pub max: Duration,
}

impl ReloadBackoff {
    /// A delay that starts at `base` and doubles up to `max`.
    pub fn new(base: Duration, max: Duration) -> ReloadBackoff {
        ReloadBackoff { base, max }
    }

    /// No delay: every failed VM is replaced at the next stream.
    pub fn none() -> ReloadBackoff {
        ReloadBackoff::new(Duration::ZERO, Duration::ZERO)
    }
}

impl Default for ReloadBackoff {
    /// Envoy's: one second, up to ten. Whoever can fail a VM with a request cannot occupy the
    /// process with starting VMs.
    fn default() -> Self {
        ReloadBackoff { base: Duration::from_secs(1), max: Duration::from_secs(10) }
    }
}

/// Numbers of failures and replacements of one [`Plugin`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PluginStats {
    /// VMs that failed.
    pub failures: u64,
    /// Failed VMs that were replaced (Envoy: `wasm.vm_reload_success`).
    pub reload_success: u64,
    /// Attempts to start a replacement that failed (Envoy: `wasm.vm_reload_failure`).
    pub reload_failure: u64,
    /// Streams for which no replacement was tried because of the delay (Envoy:
    /// `wasm.vm_reload_backoff`).
    pub reload_backoff: u64,
}

/// One plugin on one thread: its module, its configurations and its running VM.
///
/// ```
/// # #[cfg(feature = "wasm")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use dynvm::{host::Services, FailurePolicy, Loader, Plugin, PluginConfig, VmConfig};
/// # let text = br#"(module (func (export "proxy_abi_version_0_2_1")))"#;
/// # let module = Loader::new()?.load_bytes("noop.wat", text)?;
/// let config = PluginConfig::named("auth").failure_policy(FailurePolicy::Reload);
/// let mut plugin = Plugin::builder(&module, config).start()?;
/// let (vm, root) = plugin.vm_for_new_stream();
/// assert!(!vm.has_failed());
/// # let _ = root;
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "wasm"))]
/// # fn main() {}
/// ```
pub struct Plugin {
    module: Module,
    vm_config: VmConfig,
    config: PluginConfig,
    services: Services,
    vm: Vm,
    root: ContextId,
    backoff: ReloadBackoff,
    wait: Duration,
    retry_at: Instant,
    counted: bool,
    stats: PluginStats,
}

impl Plugin {
    /// Configures a plugin of this module, with the default VM configuration and services.
    pub fn builder(module: &Module, config: PluginConfig) -> PluginBuilder<'_> {
        PluginBuilder {
            module,
            config,
            vm_config: VmConfig::default(),
            services: Services::default(),
            backoff: ReloadBackoff::default(),
            tracer: None,
        }
    }

    /// The VM and the root context for a new stream.
    ///
    /// With the policy `Reload`, a failed VM is replaced first. Its remaining streams were failed
    /// ([`Stream::fail`](crate::host::Stream::fail)) and are dropped with it, and its contexts and
    /// calls are unknown to the new VM, which has another [`Vm::id`].
    pub fn vm_for_new_stream(&mut self) -> (&mut Vm, ContextId) {
        if self.vm.has_failed() {
            self.count_failure();
            if self.config.failure_policy == FailurePolicy::Reload {
                self.reload();
            }
        }
        (&mut self.vm, self.root)
    }

    /// The current VM, for its own streams. Streams of a replaced VM are unknown to it.
    pub fn vm(&mut self) -> &mut Vm {
        &mut self.vm
    }

    /// The root context of the plugin in the current VM.
    pub fn root(&self) -> ContextId {
        self.root
    }

    /// Failures and replacements so far.
    pub fn stats(&mut self) -> PluginStats {
        self.count_failure();
        self.stats
    }

    fn count_failure(&mut self) {
        if self.vm.has_failed() && !std::mem::replace(&mut self.counted, true) {
            self.stats.failures += 1;
        }
    }

    fn reload(&mut self) {
        let now = Instant::now();
        if now < self.retry_at {
            self.stats.reload_backoff += 1;
            self.observe(Reload::Backoff);
            return;
        }
        let mut tracer = self.vm.take_tracer();
        match start(&self.module, &self.vm_config, &self.config, &self.services, &mut tracer) {
            Ok((vm, root)) => {
                self.vm = vm;
                self.root = root;
                self.counted = false;
                self.stats.reload_success += 1;
                self.observe(Reload::Success);
            }
            Err(error) => {
                self.vm.set_tracer(tracer);
                self.stats.reload_failure += 1;
                self.observe(Reload::Failure);
                self.vm.log(
                    dynvm_abi::types::LogLevel::Error,
                    &format!("the plugin cannot be started again: {}", crate::with_causes(&error)),
                );
            }
        }
        self.wait = if now < self.retry_at + self.backoff.max {
            (self.wait * 2).clamp(self.backoff.base, self.backoff.max)
        } else {
            self.backoff.base
        };
        self.retry_at = now + self.wait;
    }

    fn observe(&self, reload: Reload) {
        telemetry::reloaded(&self.vm_config.vm_id, &self.config.name, reload);
        if let Some(observer) = &self.services.observer {
            observer.count_reload(&self.config.name, self.module.backend(), reload);
        }
    }
}

/// Configures a [`Plugin`]; created by [`Plugin::builder`].
#[must_use = "a builder does nothing until `start` is called"]
pub struct PluginBuilder<'a> {
    module: &'a Module,
    config: PluginConfig,
    vm_config: VmConfig,
    services: Services,
    backoff: ReloadBackoff,
    tracer: Option<Box<dyn Tracer>>,
}

impl PluginBuilder<'_> {
    /// Sets the configuration of the plugin's VMs.
    pub fn vm_config(mut self, config: VmConfig) -> Self {
        self.vm_config = config;
        self
    }

    /// Sets the services of the plugin's VMs.
    pub fn services(mut self, services: Services) -> Self {
        self.services = services;
        self
    }

    /// Sets the delay between replacements of failed VMs.
    pub fn backoff(mut self, backoff: ReloadBackoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets a tracer, which also sees the start. A VM that replaces this one inherits the tracer.
    pub fn tracer(mut self, tracer: impl Into<Option<Box<dyn Tracer>>>) -> Self {
        self.tracer = tracer.into();
        self
    }

    /// Creates a VM on the calling thread and starts the plugin in it.
    ///
    /// # Errors
    ///
    /// The VM does not start, or the plugin refuses its configuration.
    pub fn start(self) -> Result<Plugin, StartError> {
        let PluginBuilder { module, config, vm_config, services, backoff, mut tracer } = self;
        let (vm, root) = start(module, &vm_config, &config, &services, &mut tracer)?;
        Ok(Plugin {
            module: module.clone(),
            vm_config,
            config,
            services,
            vm,
            root,
            backoff,
            wait: Duration::ZERO,
            retry_at: Instant::now() + backoff.base,
            counted: false,
            stats: PluginStats::default(),
        })
    }
}

/// Starts a plugin in a new VM. If that fails, the tracer is the caller's again.
fn start(
    module: &Module,
    vm_config: &VmConfig,
    config: &PluginConfig,
    services: &Services,
    tracer: &mut Option<Box<dyn Tracer>>,
) -> Result<(Vm, ContextId), StartError> {
    let mut vm = Vm::start(module, vm_config.clone(), services.clone(), tracer)?;
    match vm.start_plugin(config.clone()) {
        Ok(root) => Ok((vm, root)),
        Err(error) => {
            *tracer = vm.into_tracer();
            Err(error)
        }
    }
}
