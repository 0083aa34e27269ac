//! The observer's state: the live VMs, and the totals of those that have ended.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::counters::{PluginSlots, VmSlots};
use super::prometheus::Collect;
use super::snapshot::{ModuleSnapshot, PluginSnapshot, Snapshot};
use crate::artifact::{BackendKind, ModuleInfo};

/// Name and backend of a module or plugin.
type Key = (String, BackendKind);

/// A VM that has not ended.
#[derive(Debug)]
struct LiveVm {
    module: Arc<ModuleInfo>,
    slots: Arc<VmSlots>,
    plugins: Vec<(String, Arc<PluginSlots>)>,
}

/// Counters of live and ended VMs. Gauges are not stored: a snapshot computes them from the live
/// VMs.
#[derive(Debug, Default)]
pub(super) struct State {
    vms: BTreeMap<u64, LiveVm>,
    next_vm: u64,
    modules: BTreeMap<Key, ModuleSnapshot>,
    plugins: BTreeMap<Key, PluginSnapshot>,
    collectors: Vec<Weak<dyn Collect>>,
}

impl State {
    /// Adds a VM and returns its number.
    pub(super) fn add_vm(&mut self, module: &Arc<ModuleInfo>, slots: Arc<VmSlots>) -> u64 {
        self.module(module).vms_created += 1;
        let number = self.next_vm;
        self.next_vm += 1;
        self.vms.insert(number, LiveVm { module: module.clone(), slots, plugins: Vec::new() });
        number
    }

    /// Adds a plugin to a VM.
    pub(super) fn add_plugin(&mut self, vm: u64, name: &str, slots: Arc<PluginSlots>) {
        if let Some(vm) = self.vms.get_mut(&vm) {
            vm.plugins.push((name.to_owned(), slots));
        }
    }

    /// Removes a plugin of a VM, and adds its counters to the totals.
    pub(super) fn end_plugin(&mut self, vm: u64, slots: &Arc<PluginSlots>) {
        let Some(vm) = self.vms.get_mut(&vm) else { return };
        let backend = vm.module.backend();
        let Some(index) = vm.plugins.iter().position(|(_, known)| Arc::ptr_eq(known, slots)) else { return };
        let (name, _) = vm.plugins.swap_remove(index);
        add_callbacks(self.plugin(&name, backend), slots);
    }

    /// Removes a VM, and adds its plugins' counters to the totals.
    pub(super) fn end_vm(&mut self, vm: u64) {
        let Some(vm) = self.vms.remove(&vm) else { return };
        for (name, slots) in &vm.plugins {
            add_callbacks(self.plugin(name, vm.module.backend()), slots);
        }
    }

    /// The name of a VM's first plugin.
    pub(super) fn first_plugin(&self, vm: u64) -> Option<String> {
        self.vms.get(&vm)?.plugins.first().map(|(name, _)| name.clone())
    }

    pub(super) fn module(&mut self, module: &ModuleInfo) -> &mut ModuleSnapshot {
        module_entry(&mut self.modules, module)
    }

    pub(super) fn plugin(&mut self, name: &str, backend: BackendKind) -> &mut PluginSnapshot {
        plugin_entry(&mut self.plugins, name, backend)
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let (mut modules, mut plugins) = (self.modules.clone(), self.plugins.clone());
        for vm in self.vms.values() {
            let failed = vm.slots.failed.load(Ordering::Relaxed);
            let module = module_entry(&mut modules, &vm.module);
            *(if failed { &mut module.vms_failed } else { &mut module.vms_running }) += 1;
            module.vms_uncontained += u64::from(vm.slots.uncontained.load(Ordering::Relaxed));
            module.add_version(vm.module.size as u64, vm.module.abi_version);
            module.pinned |= !vm.module.pinned.is_empty();
            module.limitations.extend(vm.module.limitations.iter().map(|limitation| limitation.protection));
            if let Some(bytes) = vm.slots.memory() {
                *module.memory.get_or_insert(0) += bytes;
            }
            for (name, slots) in &vm.plugins {
                let plugin = plugin_entry(&mut plugins, name, vm.module.backend());
                *(if failed { &mut plugin.failed } else { &mut plugin.running }) += 1;
                add_callbacks(plugin, slots);
            }
        }
        Snapshot { modules: modules.into_values().collect(), plugins: plugins.into_values().collect() }
    }

    /// Adds a collector, and removes those that no longer exist.
    pub(super) fn add_collector(&mut self, collector: Weak<dyn Collect>) {
        self.collectors.retain(|known| known.strong_count() > 0);
        self.collectors.push(collector);
    }

    /// The collectors that still exist.
    pub(super) fn collectors(&self) -> Vec<Arc<dyn Collect>> {
        self.collectors.iter().filter_map(Weak::upgrade).collect()
    }
}

fn add_callbacks(plugin: &mut PluginSnapshot, slots: &PluginSlots) {
    for (callback, times) in slots.made() {
        plugin.add_callback(callback, times);
    }
}

fn module_entry<'a>(modules: &'a mut BTreeMap<Key, ModuleSnapshot>, module: &ModuleInfo) -> &'a mut ModuleSnapshot {
    let (name, backend) = (module.name.as_str(), module.backend());
    modules.entry((name.to_owned(), backend)).or_insert_with(|| ModuleSnapshot::new(name, backend))
}

fn plugin_entry<'a>(
    plugins: &'a mut BTreeMap<Key, PluginSnapshot>,
    name: &str,
    backend: BackendKind,
) -> &'a mut PluginSnapshot {
    plugins.entry((name.to_owned(), backend)).or_insert_with(|| PluginSnapshot::new(name, backend))
}
