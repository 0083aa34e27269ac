//! A version: a module, its configuration, and its VMs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::SystemTime;

use dynvm::{Module, PluginConfig};

use super::deployment::lock;
use super::status::VersionStatus;

/// A version whose trial succeeded. It lives while it is current or a worker runs it.
pub(super) struct Version {
    pub(super) number: u64,
    pub(super) module: Module,
    pub(super) plugin_config: PluginConfig,
    loaded_at: SystemTime,
    vms: Mutex<Vec<Weak<VmUse>>>,
}

/// Usage of one VM, visible to other threads. Only the VM's thread writes to it, so counting
/// streams costs a plain store.
#[derive(Default)]
pub(super) struct VmUse {
    streams: AtomicUsize,
}

impl Version {
    pub(super) fn new(number: u64, module: Module, plugin_config: PluginConfig) -> Version {
        Version { number, module, plugin_config, loaded_at: SystemTime::now(), vms: Mutex::default() }
    }

    /// Counts a VM until the returned handle is dropped.
    pub(super) fn count_vm(&self) -> Arc<VmUse> {
        let counted = Arc::new(VmUse::default());
        let mut vms = lock(&self.vms);
        vms.retain(|vm| vm.strong_count() > 0);
        vms.push(Arc::downgrade(&counted));
        counted
    }

    pub(super) fn status(&self) -> VersionStatus {
        let streams: Vec<usize> = lock(&self.vms).iter().filter_map(Weak::upgrade).map(|vm| vm.streams()).collect();
        VersionStatus {
            number: self.number,
            module: self.module.info().clone(),
            loaded_at: self.loaded_at,
            vms: streams.len(),
            streams: streams.iter().sum(),
        }
    }
}

impl VmUse {
    #[inline]
    pub(super) fn set_streams(&self, count: usize) {
        self.streams.store(count, Ordering::Relaxed);
    }

    fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }
}
