//! The VM's side of an observer: it reports events and updates the VM's counters.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dynvm_abi::table::CallbackId;

use super::Observer;
use super::counters::{PluginSlots, VmSlots};
use crate::artifact::{BackendKind, ModuleInfo};
use crate::error::{FailureKind, StartError};

/// Number of callbacks between two readings of a VM's memory.
const MEMORY_PERIOD: u32 = 64;

/// Registration of a VM with its observer; dropping it counts the VM as ended.
pub(crate) struct VmObserved {
    observer: Arc<Observer>,
    number: u64,
    backend: BackendKind,
    slots: Arc<VmSlots>,
    callbacks: Cell<u32>,
}

/// Registration of a plugin in such a VM; dropping it counts the plugin as ended.
pub(crate) struct PluginObserved {
    observer: Arc<Observer>,
    vm: u64,
    slots: Arc<PluginSlots>,
}

impl Observer {
    /// Registers a new VM, whose start functions have not run yet.
    pub(crate) fn vm_created(self: &Arc<Self>, module: &Arc<ModuleInfo>) -> VmObserved {
        let slots = Arc::<VmSlots>::default();
        let number = self.state().add_vm(module, slots.clone());
        VmObserved { observer: self.clone(), number, backend: module.backend(), slots, callbacks: Cell::new(0) }
    }

    /// Counts a VM whose start functions have run, or whose start failed.
    pub(crate) fn vm_started(&self, module: &ModuleInfo, started: bool, took: Duration) {
        let mut state = self.state();
        let module = state.module(module);
        if started {
            module.vm_start.record(took);
        } else {
            module.vm_start_errors += 1;
        }
    }
}

impl VmObserved {
    /// Registers a plugin that is about to start in this VM.
    pub(crate) fn plugin_created(&self, name: &str) -> PluginObserved {
        let slots = Arc::<PluginSlots>::default();
        self.observer.state().add_plugin(self.number, name, slots.clone());
        PluginObserved { observer: self.observer.clone(), vm: self.number, slots }
    }

    /// Counts the outcome of a plugin's start.
    pub(crate) fn plugin_started(&self, name: &str, started: &Result<(), StartError>) {
        let mut state = self.observer.state();
        let starts = &mut state.plugin(name, self.backend).starts;
        match started {
            Ok(()) => starts.started += 1,
            Err(StartError::Refused { .. }) => starts.refused += 1,
            Err(_) => starts.failed += 1,
        }
    }

    /// Counts the first failure of the VM, in a callback of this plugin. `None`: the plugin is
    /// unknown, and the VM's first one is blamed.
    pub(crate) fn failed(&self, plugin: Option<&str>, kind: FailureKind) {
        self.slots.failed.store(true, Ordering::Relaxed);
        let mut state = self.observer.state();
        let plugin = plugin.map(str::to_owned).or_else(|| state.first_plugin(self.number)).unwrap_or_default();
        state.plugin(&plugin, self.backend).add_failure(kind);
    }

    /// True if the VM's memory should be read again. Called after each callback.
    #[inline]
    pub(crate) fn is_memory_due(&self) -> bool {
        let callbacks = self.callbacks.get().wrapping_add(1);
        self.callbacks.set(callbacks);
        callbacks.is_multiple_of(MEMORY_PERIOD)
    }

    /// Counts the VM as one whose crash ends the process.
    pub(crate) fn set_uncontained(&self) {
        self.slots.uncontained.store(true, Ordering::Relaxed);
    }

    /// Sets the size of the VM's memory, if known.
    pub(crate) fn set_memory(&self, bytes: Option<u64>) {
        self.slots.set_memory(bytes);
    }
}

impl PluginObserved {
    /// Counts a callback that has returned.
    #[inline]
    pub(crate) fn record(&self, callback: CallbackId, time: Duration) {
        self.slots.record(callback, time);
    }
}

impl Drop for VmObserved {
    fn drop(&mut self) {
        self.observer.state().end_vm(self.number);
    }
}

impl Drop for PluginObserved {
    fn drop(&mut self) {
        self.observer.state().end_plugin(self.vm, &self.slots);
    }
}
