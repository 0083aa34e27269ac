//! The operator's configuration, in Envoy's terms (`envoy.extensions.wasm.v3`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Configuration of one VM (Envoy: `VmConfig`).
///
/// ```
/// use std::time::Duration;
///
/// use dynvm::{CallbackBudget, CapabilityRestriction, VmConfig};
///
/// let config = VmConfig::with_id("edge")
///     .memory_limit(64 << 20)
///     .callback_budget(CallbackBudget::report(Duration::from_millis(50)))
///     .capabilities(CapabilityRestriction::except(["proxy_http_call"]));
/// assert!(!config.capabilities.allows("proxy_http_call"));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VmConfig {
    /// Scope of shared data and queues: VMs with the same id share them (Envoy: `vm_id`). Several
    /// VMs may have one id; [`VmId`](crate::VmId) identifies a single VM.
    pub vm_id: String,
    /// The VM configuration that the plugin reads in `proxy_on_vm_start` (Envoy: `configuration`).
    /// Empty by default. `None`: the host has no VM configurations, and reading it returns
    /// `NotFound`.
    pub configuration: Option<Vec<u8>>,
    /// Environment variables. A wasm plugin sees only these. A native plugin sees these first, then
    /// those of the process (`docs/differences.md`).
    pub environment: BTreeMap<String, String>,
    /// Functions that the plugin may call or export (Envoy: `capability_restriction_config`).
    pub capabilities: CapabilityRestriction,
    /// Limit in bytes: of linear memory on wasm (the lower of this and
    /// `wasm::Options::memory_limit`), of the VM's private heap natively. A plugin that needs more
    /// fails its VM. `None`: no limit.
    pub memory_limit: Option<usize>,
    /// Time limit of a callback; `None`: unlimited. Costs a few nanoseconds per callback.
    pub callback_budget: Option<CallbackBudget>,
    /// Returns `StopIteration` from headers callbacks unchanged. By default it becomes
    /// `StopAllIterationAndWatermark`, as in Envoy (`allow_on_headers_stop_iteration`, there part
    /// of `PluginConfig`).
    pub allow_on_headers_stop_iteration: bool,
}

impl Default for VmConfig {
    /// No id, an empty configuration, no environment, no restriction and no limit.
    fn default() -> VmConfig {
        VmConfig {
            vm_id: String::new(),
            configuration: Some(Vec::new()),
            environment: BTreeMap::new(),
            capabilities: CapabilityRestriction::default(),
            memory_limit: None,
            callback_budget: None,
            allow_on_headers_stop_iteration: false,
        }
    }
}

impl VmConfig {
    /// The default configuration with a `vm_id`.
    pub fn with_id(vm_id: impl Into<String>) -> VmConfig {
        VmConfig { vm_id: vm_id.into(), ..VmConfig::default() }
    }

    /// Sets the VM configuration that the plugin reads.
    pub fn configuration(mut self, configuration: impl Into<Vec<u8>>) -> VmConfig {
        self.configuration = Some(configuration.into());
        self
    }

    /// Adds an environment variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> VmConfig {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Sets which functions the plugin may import and export.
    pub fn capabilities(mut self, capabilities: CapabilityRestriction) -> VmConfig {
        self.capabilities = capabilities;
        self
    }

    /// Sets the limit of memory, in bytes.
    pub fn memory_limit(mut self, bytes: usize) -> VmConfig {
        self.memory_limit = Some(bytes);
        self
    }

    /// Sets the time that a callback may take.
    pub fn callback_budget(mut self, budget: CallbackBudget) -> VmConfig {
        self.callback_budget = Some(budget);
        self
    }
}

/// Time limit of a callback, and the action when it is exceeded.
///
/// A watchdog thread samples running callbacks, so an overrun is noticed late by up to a quarter of
/// the limit, and by at least a millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallbackBudget {
    /// Wall-clock time for one callback, hostcalls included.
    pub limit: Duration,
    /// The action when a callback exceeds the limit.
    pub action: OverrunAction,
}

impl CallbackBudget {
    /// A budget whose overruns are logged.
    pub fn report(limit: Duration) -> CallbackBudget {
        CallbackBudget { limit, action: OverrunAction::Report }
    }

    /// A budget whose overruns are logged and fail the VM.
    pub fn fail(limit: Duration) -> CallbackBudget {
        CallbackBudget { limit, action: OverrunAction::Fail }
    }
}

/// Action when a callback exceeds its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OverrunAction {
    /// The overrun is logged while the callback runs: plugin, callback, time, and for native
    /// plugins the stack.
    Report,
    /// The VM fails as well, as soon as that is sound.
    ///
    /// A native plugin is aborted while it executes code of its image that only the image has
    /// called; inside a hostcall or a library it is only reported. A wasm plugin is interrupted if
    /// the loader runs with `CpuLimit::Time`, at the lower of the two limits; otherwise it is only
    /// reported.
    Fail,
}

/// Restricts the functions that a plugin may import and export. The default restricts nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapabilityRestriction {
    allowed: Option<BTreeSet<String>>,
    refused: BTreeSet<String>,
}

impl CapabilityRestriction {
    /// Allows only the named functions: other hostcalls and WASI calls are refused, other callbacks
    /// are never called.
    ///
    /// `_initialize`, `_start`, `main` and the allocators are never restricted. An empty list
    /// restricts nothing, as in Envoy.
    pub fn only<N: Into<String>>(names: impl IntoIterator<Item = N>) -> CapabilityRestriction {
        let allowed: BTreeSet<String> = names.into_iter().map(Into::into).collect();
        CapabilityRestriction { allowed: (!allowed.is_empty()).then_some(allowed), refused: BTreeSet::new() }
    }

    /// Allows all but the named functions.
    pub fn except<N: Into<String>>(names: impl IntoIterator<Item = N>) -> CapabilityRestriction {
        CapabilityRestriction { allowed: None, refused: names.into_iter().map(Into::into).collect() }
    }

    /// True if the function may be imported or exported.
    pub fn allows(&self, name: &str) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.contains(name)) && !self.refused.contains(name)
    }
}

/// Configuration of one plugin in a VM (Envoy: `PluginConfig`).
///
/// ```
/// use dynvm::{FailurePolicy, PluginConfig};
///
/// let config = PluginConfig::named("auth")
///     .configuration(r#"{"realm": "shop"}"#)
///     .failure_policy(FailurePolicy::Open);
/// assert_eq!(config.name, "auth");
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PluginConfig {
    /// Name in logs and metrics, and the property `plugin_name`.
    pub name: String,
    /// Selects one of several plugins in a module (property `plugin_root_id`; Envoy: `root_id`).
    pub root_id: String,
    /// The configuration that the plugin reads in `proxy_on_configure` (Envoy: `configuration`).
    pub configuration: Vec<u8>,
    /// Handling of streams after the VM has failed.
    pub failure_policy: FailurePolicy,
}

impl PluginConfig {
    /// The default configuration with this name.
    pub fn named(name: impl Into<String>) -> PluginConfig {
        PluginConfig { name: name.into(), ..PluginConfig::default() }
    }

    /// Sets the configuration that the plugin reads.
    pub fn configuration(mut self, configuration: impl Into<Vec<u8>>) -> PluginConfig {
        self.configuration = configuration.into();
        self
    }

    /// Sets the root id, which selects a plugin of the module.
    pub fn root_id(mut self, root_id: impl Into<String>) -> PluginConfig {
        self.root_id = root_id.into();
        self
    }

    /// Sets the handling of streams after the VM has failed.
    pub fn failure_policy(mut self, policy: FailurePolicy) -> PluginConfig {
        self.failure_policy = policy;
        self
    }
}

/// Handling of streams after the VM has failed (Envoy: `FailurePolicy`).
///
/// Under every policy, the stream in whose callback the VM fails is itself failed, as in Envoy
/// 1.40.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailurePolicy {
    /// Streams fail (HTTP: 503) until a working VM replaces the failed one.
    #[default]
    Closed,
    /// Streams continue as if the plugin were not configured.
    Open,
    /// A new VM is started for the next stream; streams fail if it does not start.
    /// [`Plugin`](crate::Plugin) does this.
    Reload,
}

impl std::str::FromStr for FailurePolicy {
    type Err = String;

    /// Accepts Envoy's and Istio's spellings, with or without `FAIL_`, in any case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.to_ascii_uppercase();
        match name.strip_prefix("FAIL_").unwrap_or(&name) {
            "CLOSED" | "CLOSE" | "UNSPECIFIED" => Ok(FailurePolicy::Closed),
            "OPEN" => Ok(FailurePolicy::Open),
            "RELOAD" => Ok(FailurePolicy::Reload),
            _ => Err(format!("unknown failure policy {text:?}: use FAIL_CLOSED, FAIL_OPEN or FAIL_RELOAD")),
        }
    }
}
