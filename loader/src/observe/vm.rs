//! The side of one VM: what it tells its observer.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dynvm_abi::table::CallbackId;

use super::Observer;
use super::counters::{PluginSlots, VmSlots};
use crate::artifact::{BackendKind, ModuleInfo};
use crate::error::{FailureKind, StartError};

/// Callbacks between two readings of a VM's memory.
const MEMORY_PERIOD: u32 = 64;

/// A VM that is observed, until it is dropped.
pub(crate) struct VmObserved {
    observer: Arc<Observer>,
    number: u64,
    backend: BackendKind,
    slots: Arc<VmSlots>,
    callbacks: Cell<u32>,
}

/// A plugin in such a VM, until it is dropped.
pub(crate) struct PluginObserved {
    observer: Arc<Observer>,
    vm: u64,
    slots: Arc<PluginSlots>,
}

impl Observer {
    /// A VM is there; its start functions have not run yet.
    pub(crate) fn vm_created(self: &Arc<Self>, module: &Arc<ModuleInfo>) -> VmObserved {
        let slots = Arc::<VmSlots>::default();
        let number = self.state().add_vm(module, slots.clone());
        VmObserved { observer: self.clone(), number, backend: module.backend(), slots, callbacks: Cell::new(0) }
    }

    /// A VM was made and its start functions have run, or the attempt failed.
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
    /// A plugin is about to start in this VM.
    pub(crate) fn plugin_created(&self, name: &str) -> PluginObserved {
        let slots = Arc::<PluginSlots>::default();
        self.observer.state().add_plugin(self.number, name, slots.clone());
        PluginObserved { observer: self.observer.clone(), vm: self.number, slots }
    }

    /// How the start of a plugin ended.
    pub(crate) fn plugin_started(&self, name: &str, started: &Result<(), StartError>) {
        let mut state = self.observer.state();
        let starts = &mut state.plugin(name, self.backend).starts;
        match started {
            Ok(()) => starts.started += 1,
            Err(StartError::Refused { .. }) => starts.refused += 1,
            Err(_) => starts.failed += 1,
        }
    }

    /// The VM failed, for the first time, in a callback of this plugin. `None`: it is not known of which, and the VM's first is taken.
    pub(crate) fn failed(&self, plugin: Option<&str>, kind: FailureKind) {
        self.slots.failed.store(true, Ordering::Relaxed);
        let mut state = self.observer.state();
        let plugin = plugin.map(str::to_owned).or_else(|| state.first_plugin(self.number)).unwrap_or_default();
        state.plugin(&plugin, self.backend).add_failure(kind);
    }

    /// Whether it is time to read the VM's memory again. Asked after each callback.
    #[inline]
    pub(crate) fn is_memory_due(&self) -> bool {
        let callbacks = self.callbacks.get().wrapping_add(1);
        self.callbacks.set(callbacks);
        callbacks.is_multiple_of(MEMORY_PERIOD)
    }

    /// What memory the VM has, if that is known.
    pub(crate) fn set_memory(&self, bytes: Option<u64>) {
        self.slots.set_memory(bytes);
    }
}

impl PluginObserved {
    /// A callback has returned.
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
