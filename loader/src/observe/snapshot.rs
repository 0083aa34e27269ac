//! Values of an observer's counters at one moment.

use std::collections::BTreeSet;

use dynvm_abi::table::CallbackId;
use dynvm_abi::version::AbiVersion;

use super::histogram::{Distribution, Histogram};
use crate::artifact::BackendKind;
use crate::error::FailureKind;
use crate::limitation::Protection;

/// The counters of an [`Observer`](super::Observer) at one moment.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// One entry per module and backend, sorted.
    pub modules: Vec<ModuleSnapshot>,
    /// One entry per plugin and backend, sorted.
    pub plugins: Vec<PluginSnapshot>,
}

/// The VMs of one module.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ModuleSnapshot {
    /// The module's name: its path, or the name passed to `load_bytes`.
    pub module: String,
    /// The backend that runs the module.
    pub backend: BackendKind,
    /// Live VMs that have not failed.
    pub vms_running: u64,
    /// Live VMs that have failed.
    pub vms_failed: u64,
    /// Live VMs whose crash ends the process ([`Vm::uncontained`](crate::Vm::uncontained)).
    pub vms_uncontained: u64,
    /// VMs created since the observer was.
    pub vms_created: u64,
    /// VMs that failed to start: in the system's loader, in wasmtime or in their start functions.
    pub vm_start_errors: u64,
    /// Time to create a VM, including its start functions.
    pub vm_start: Distribution,
    /// Bytes of memory of all live VMs for which it is known
    /// ([`Vm::memory_size`](crate::Vm::memory_size)); `None` if it is known for none. Read when a
    /// VM or a plugin in it has started, and after every 64th callback.
    pub memory: Option<u64>,
    /// Whether live VMs have to stay on their threads ([`ModuleInfo::pinned`](crate::ModuleInfo::pinned)).
    pub pinned: bool,
    /// The protections that live VMs lack ([`ModuleInfo::limitations`](crate::ModuleInfo::limitations)).
    pub limitations: BTreeSet<Protection>,
    /// The versions of the module with live VMs: several after its file was replaced and loaded
    /// again.
    pub versions: Vec<ModuleVersion>,
}

/// One version of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModuleVersion {
    /// Size of the artifact in bytes.
    pub size: u64,
    /// The ABI version that the module was built for.
    pub abi_version: AbiVersion,
    /// Live VMs of this version, including failed ones.
    pub vms: u64,
}

/// One plugin, by [`PluginConfig::name`](crate::PluginConfig::name), in all its VMs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PluginSnapshot {
    /// The plugin's name. Empty for events in a VM before any plugin was started in it.
    pub plugin: String,
    /// The backend that runs the plugin.
    pub backend: BackendKind,
    /// Live VMs of the plugin that have not failed.
    pub running: u64,
    /// Live VMs of the plugin that have failed.
    pub failed: u64,
    /// Starts of the plugin, by outcome.
    pub starts: PluginStarts,
    /// VMs that failed in a callback of this plugin, by kind. Kinds without failures are omitted.
    pub failures: Vec<(FailureKind, u64)>,
    /// Replacements of failed VMs, by outcome.
    pub reloads: Reloads,
    /// Durations of callbacks, in the order of the ABI's table. Callbacks that were never called
    /// are omitted.
    pub callbacks: Vec<CallbackSnapshot>,
}

/// Starts of a plugin, by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PluginStarts {
    /// The plugin accepted its configuration and runs.
    pub started: u64,
    /// The plugin refused its configuration.
    pub refused: u64,
    /// The VM failed during the start.
    pub failed: u64,
}

/// Replacements of failed VMs, by outcome, on all threads; [`PluginStats`](crate::PluginStats) has
/// those of one thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloads {
    /// VMs that were replaced.
    pub success: u64,
    /// Replacements that failed to start.
    pub failure: u64,
    /// Streams for which no replacement was tried, because the delay after the last attempt was not
    /// over.
    pub backoff: u64,
}

/// One callback of a plugin.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallbackSnapshot {
    /// The callback's id in the ABI's table.
    pub callback: CallbackId,
    /// Time from the call into the backend to its return, including hostcalls. Failed calls count
    /// too.
    pub time: Distribution,
}

impl ModuleSnapshot {
    pub(super) fn new(module: &str, backend: BackendKind) -> ModuleSnapshot {
        ModuleSnapshot {
            module: module.to_owned(),
            backend,
            vms_running: 0,
            vms_failed: 0,
            vms_uncontained: 0,
            vms_created: 0,
            vm_start_errors: 0,
            vm_start: Distribution::default(),
            memory: None,
            pinned: false,
            limitations: BTreeSet::new(),
            versions: Vec::new(),
        }
    }

    pub(super) fn add_version(&mut self, size: u64, abi_version: AbiVersion) {
        match self.versions.iter_mut().find(|version| (version.size, version.abi_version) == (size, abi_version)) {
            Some(version) => version.vms += 1,
            None => self.versions.push(ModuleVersion { size, abi_version, vms: 1 }),
        }
    }
}

impl PluginSnapshot {
    pub(super) fn new(plugin: &str, backend: BackendKind) -> PluginSnapshot {
        PluginSnapshot {
            plugin: plugin.to_owned(),
            backend,
            running: 0,
            failed: 0,
            starts: PluginStarts::default(),
            failures: Vec::new(),
            reloads: Reloads::default(),
            callbacks: Vec::new(),
        }
    }

    pub(super) fn add_failure(&mut self, kind: FailureKind) {
        match self.failures.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => self.failures.push((kind, 1)),
        }
    }

    pub(super) fn add_callback(&mut self, callback: CallbackId, times: &Histogram) {
        let place = self.callbacks.binary_search_by_key(&(callback as u8), |known| known.callback as u8);
        let index = place.unwrap_or_else(|index| {
            self.callbacks.insert(index, CallbackSnapshot { callback, time: Distribution::default() });
            index
        });
        self.callbacks[index].time.add(times);
    }
}
