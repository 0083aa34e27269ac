//! What an operator configures, in Envoy's words (`envoy.extensions.wasm.v3`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::HostProfile;

/// One VM (Envoy: `VmConfig`).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct VmConfig {
    /// Scope of shared data and queues. VMs of the same id share them. Not to be confused with a VM's identity.
    pub vm_id: String,
    /// What the plugin reads as VM configuration.
    pub configuration: Vec<u8>,
    /// Environment variables that a wasm plugin sees: these and no others. A native plugin sees these first, then the process's
    /// (`docs/differences.md`).
    pub environment: BTreeMap<String, String>,
    /// Which functions the plugin may call and which of its own are called (Envoy: `capability_restriction_config`).
    pub capabilities: CapabilityRestriction,
    /// What the host has and how it answers, where that is not as in Envoy.
    pub host: HostProfile,
    /// Most bytes that the plugin may hold: of linear memory on wasm (the lower of this and
    /// `wasm::Options::memory_limit`), of its heap natively, where it has one of its own. A plugin that wants
    /// more fails its VM.
    pub memory_limit: Option<usize>,
    /// How long a callback may take. `None`: as long as it likes. Costs a few nanoseconds for each callback.
    pub callback_budget: Option<CallbackBudget>,
    /// Hand `StopIteration` from headers callbacks on as it is, instead of stopping all iteration
    /// (Envoy: `allow_on_headers_stop_iteration`, there part of `PluginConfig`).
    pub allow_on_headers_stop_iteration: bool,
}

impl VmConfig {
    /// The default configuration with a `vm_id`.
    pub fn with_id(vm_id: impl Into<String>) -> VmConfig {
        VmConfig { vm_id: vm_id.into(), ..VmConfig::default() }
    }

    /// Sets what the plugin reads as VM configuration.
    pub fn configuration(mut self, configuration: impl Into<Vec<u8>>) -> VmConfig {
        self.configuration = configuration.into();
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

/// The time that a callback may take, and what happens to one that takes longer. A watchdog thread looks at this, so the time is
/// kept to within a quarter of it, and at least a millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallbackBudget {
    /// The time.
    pub limit: Duration,
    /// What happens.
    pub action: OverrunAction,
}

impl CallbackBudget {
    /// A budget whose overruns are reported.
    pub fn report(limit: Duration) -> CallbackBudget {
        CallbackBudget { limit, action: OverrunAction::Report }
    }

    /// A budget whose overruns fail the VM.
    pub fn fail(limit: Duration) -> CallbackBudget {
        CallbackBudget { limit, action: OverrunAction::Fail }
    }
}

/// What happens when a callback takes longer than its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OverrunAction {
    /// It is logged while it runs: plugin, callback, time, and for native plugins the stack.
    Report,
    /// The VM fails as well, as soon as that is sound. A native plugin is left where it executes code of its image, called by nothing but the
    /// image itself; while it is in a hostcall or a library, it is only reported. A wasm plugin is interrupted if the loader runs with
    /// `CpuLimit::Time`, by the lower of the two times; without it, it is only reported.
    Fail,
}

/// Which functions a plugin may import and export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapabilityRestriction {
    allowed: Option<BTreeSet<String>>,
    refused: BTreeSet<String>,
}

impl CapabilityRestriction {
    /// Only the named functions: hostcalls and WASI calls not among them are refused, callbacks not among them are never called.
    /// `_initialize`, `_start`, `main` and the allocators are never restricted. An empty list restricts nothing, as in Envoy.
    pub fn only<N: Into<String>>(names: impl IntoIterator<Item = N>) -> CapabilityRestriction {
        let allowed: BTreeSet<String> = names.into_iter().map(Into::into).collect();
        CapabilityRestriction { allowed: (!allowed.is_empty()).then_some(allowed), refused: BTreeSet::new() }
    }

    /// All but the named functions.
    pub fn except<N: Into<String>>(names: impl IntoIterator<Item = N>) -> CapabilityRestriction {
        CapabilityRestriction { allowed: None, refused: names.into_iter().map(Into::into).collect() }
    }

    /// Whether a function may be used.
    pub fn allows(&self, name: &str) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.contains(name)) && !self.refused.contains(name)
    }
}

/// One plugin in a VM (Envoy: `PluginConfig`).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PluginConfig {
    /// Name for logs and for the property `plugin_name`.
    pub name: String,
    /// Chooses among the plugins of one module (property `plugin_root_id`).
    pub root_id: String,
    /// What the plugin reads as its configuration.
    pub configuration: Vec<u8>,
    /// What happens to streams when the VM has failed.
    pub failure_policy: FailurePolicy,
}

impl PluginConfig {
    /// The default configuration with a name.
    pub fn named(name: impl Into<String>) -> PluginConfig {
        PluginConfig { name: name.into(), ..PluginConfig::default() }
    }

    /// Sets the configuration.
    pub fn configuration(mut self, configuration: impl Into<Vec<u8>>) -> PluginConfig {
        self.configuration = configuration.into();
        self
    }

    /// Sets the root id.
    pub fn root_id(mut self, root_id: impl Into<String>) -> PluginConfig {
        self.root_id = root_id.into();
        self
    }

    /// Sets the failure policy.
    pub fn failure_policy(mut self, policy: FailurePolicy) -> PluginConfig {
        self.failure_policy = policy;
        self
    }
}

/// What happens to streams when the VM has failed (Envoy: `FailurePolicy`).
///
/// Under every policy the stream in whose callback the VM fails is itself failed, as Envoy 1.40 does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailurePolicy {
    /// Streams fail (HTTP: 503) for as long as there is no working VM.
    #[default]
    Closed,
    /// Streams go on as if the plugin were not there.
    Open,
    /// A new VM is started for the next stream; should that not be possible, streams fail.
    Reload,
}

impl std::str::FromStr for FailurePolicy {
    type Err = String;

    /// Takes Envoy's and Istio's spellings, with or without `FAIL_`, in any case.
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
