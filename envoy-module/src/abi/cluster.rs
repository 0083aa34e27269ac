//! The cluster that reaches every worker thread. It has no hosts: Envoy offers the way to its workers to clusters only.

use std::ffi::c_void;
use std::ptr;
use std::sync::{Mutex, PoisonError};

use super::functions::envoy;

/// A cluster of this module. Its methods do nothing after Envoy has destroyed it.
pub struct Cluster {
    cluster: *mut c_void,
    scheduler: Mutex<*mut c_void>,
}

// SAFETY: events may be scheduled on any thread, under the lock. The cluster's own pointer is used on the main thread.
unsafe impl Send for Cluster {}
// SAFETY: as above.
unsafe impl Sync for Cluster {}

impl Cluster {
    pub(super) fn new(cluster: *mut c_void) -> Cluster {
        Cluster { cluster, scheduler: Mutex::new(ptr::null_mut()) }
    }

    /// True if this Envoy can run an event on all workers.
    pub fn reaches_workers() -> bool {
        envoy().cluster_run_on_all_workers.is_some() && envoy().cluster_scheduler_new.is_some()
    }

    /// Prepares the way to the main thread, and tells Envoy that the cluster is ready; it waits for that before it listens.
    pub(super) fn complete_init(&self) {
        if let Some(new) = envoy().cluster_scheduler_new {
            // SAFETY: called in the cluster's init hook, on the main thread. While Envoy creates the cluster, a scheduler
            // would be one that never runs.
            *self.scheduler.lock().unwrap_or_else(PoisonError::into_inner) = unsafe { new(self.cluster) };
        }
        if let Some(complete) = envoy().cluster_pre_init_complete {
            // SAFETY: called in the cluster's init hook, on the main thread.
            unsafe { complete(self.cluster) }
        }
    }

    /// Has the main thread run the cluster's event hook. Any thread may call this.
    pub fn wake_main(&self) {
        let scheduler = self.scheduler.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(commit), false) = (envoy().cluster_scheduler_commit, scheduler.is_null()) {
            // SAFETY: the scheduler lives while the lock is held.
            unsafe { commit(*scheduler, 0) }
        }
    }

    /// Has every worker run the cluster's worker hook.
    pub(super) fn run_on_all_workers(&self) {
        if let Some(run) = envoy().cluster_run_on_all_workers {
            // SAFETY: called in a hook of this cluster, on the main thread.
            unsafe { run(self.cluster, 0) }
        }
    }

    /// Forgets the cluster, which Envoy destroys.
    pub(super) fn forget(&self) {
        let mut scheduler = self.scheduler.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(delete), false) = (envoy().cluster_scheduler_delete, scheduler.is_null()) {
            // SAFETY: the scheduler was created by Envoy, and the lock keeps others from using it.
            unsafe { delete(*scheduler) }
        }
        *scheduler = ptr::null_mut();
    }
}
