//! What an observer has seen, as plain values.

use dynvm_abi::table::CallbackId;
use dynvm_abi::version::AbiVersion;

use super::histogram::{Distribution, Histogram};
use crate::artifact::BackendKind;
use crate::error::FailureKind;

/// All that an [`Observer`](super::Observer) has seen.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// By module and backend, in the order of their names.
    pub modules: Vec<ModuleSnapshot>,
    /// By plugin and backend, in the order of their names.
    pub plugins: Vec<PluginSnapshot>,
}

/// The VMs of one module.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ModuleSnapshot {
    /// The module's name: its file, or the name that it was loaded by.
    pub module: String,
    /// What runs it.
    pub backend: BackendKind,
    /// VMs that serve.
    pub vms_running: u64,
    /// VMs that have failed and are still there.
    pub vms_failed: u64,
    /// VMs that were made, since the observer was.
    pub vms_created: u64,
    /// Attempts to make one that failed, in the system's loader, in wasmtime or in the start functions.
    pub vm_start_errors: u64,
    /// How long making one took, start functions and all.
    pub vm_start: Distribution,
    /// Bytes of memory of all VMs that are there ([`Vm::memory_size`](crate::Vm::memory_size)), as far as it is known. It is read when a
    /// VM or a plugin in it has started, and after every 64th callback.
    pub memory: Option<u64>,
    /// The versions of the module that have VMs: more than one after its file was replaced and loaded again.
    pub versions: Vec<ModuleVersion>,
}

/// One version of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModuleVersion {
    /// Size of the artifact in bytes.
    pub size: u64,
    /// The ABI version that it was built for.
    pub abi_version: AbiVersion,
    /// VMs that have it, failed ones too.
    pub vms: u64,
}

/// One plugin, by [`PluginConfig::name`](crate::PluginConfig::name), in all its VMs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PluginSnapshot {
    /// Its name. Empty for what happened in a VM before a plugin was started in it.
    pub plugin: String,
    /// What runs it.
    pub backend: BackendKind,
    /// VMs that serve it.
    pub running: u64,
    /// VMs of it that have failed and are still there.
    pub failed: u64,
    /// How starts ended.
    pub starts: PluginStarts,
    /// VMs that failed in a callback of this plugin, by kind; kinds without failures are left out.
    pub failures: Vec<(FailureKind, u64)>,
    /// What became of failed VMs.
    pub reloads: Reloads,
    /// How long callbacks took, in the order of the ABI's table; those that were never made are left out.
    pub callbacks: Vec<CallbackSnapshot>,
}

/// How starts of a plugin ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PluginStarts {
    /// It runs.
    pub started: u64,
    /// It refused its configuration.
    pub refused: u64,
    /// The VM failed.
    pub failed: u64,
}

/// What became of failed VMs (as [`PluginStats`](crate::PluginStats), of all threads).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloads {
    /// They were replaced.
    pub success: u64,
    /// Attempts to replace one that failed.
    pub failure: u64,
    /// Streams that found no VM because the wait before the next attempt was not over.
    pub backoff: u64,
}

/// One callback of a plugin.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallbackSnapshot {
    /// Which one.
    pub callback: CallbackId,
    /// How long it took, from the call into the backend to its return, hostcalls included. Callbacks that failed count too.
    pub time: Distribution,
}

impl ModuleSnapshot {
    pub(super) fn new(module: &str, backend: BackendKind) -> ModuleSnapshot {
        ModuleSnapshot {
            module: module.to_owned(),
            backend,
            vms_running: 0,
            vms_failed: 0,
            vms_created: 0,
            vm_start_errors: 0,
            vm_start: Distribution::default(),
            memory: None,
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
