//! Hooks of the cluster that reaches every worker.

use std::ptr;
use std::sync::Arc;

use super::{EnvoyBuffer, EnvoyPtr, ModulePtr, guard};
use crate::abi::cluster::Cluster;
use crate::{inbox, local};

/// A pointer for objects without state.
fn nothing() -> ModulePtr {
    ptr::NonNull::<u8>::dangling().as_ptr().cast_const().cast()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_cluster_config_new(_: EnvoyPtr, _: EnvoyBuffer, _: EnvoyBuffer) -> ModulePtr {
    nothing()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_cluster_config_destroy(_: ModulePtr) {}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_cluster_new(_: ModulePtr, envoy: EnvoyPtr) -> ModulePtr {
    guard(ptr::null, || {
        let cluster = Arc::new(Cluster::new(envoy));
        inbox::add_cluster(&cluster);
        Arc::into_raw(cluster).cast()
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_cluster_init(_: EnvoyPtr, cluster: ModulePtr) {
    // SAFETY: the pointer is from `cluster_new`; Envoy has not destroyed the cluster.
    guard(|| (), || unsafe { (*cluster.cast::<Cluster>()).complete_init() });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_cluster_destroy(cluster: ModulePtr) {
    // SAFETY: the pointer is from `cluster_new`, and Envoy does not use it again.
    let cluster = unsafe { Arc::from_raw(cluster.cast::<Cluster>()) };
    guard(|| (), || cluster.forget());
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_cluster_scheduled(_: EnvoyPtr, cluster: ModulePtr, _: u64) {
    // SAFETY: as in `cluster_init`.
    guard(|| (), || unsafe { (*cluster.cast::<Cluster>()).run_on_all_workers() });
    guard(|| (), local::look_after_all);
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_cluster_worker_event(_: EnvoyPtr, _: ModulePtr, _: u64) {
    guard(|| (), local::look_after_all);
}

/// A worker gets its load balancer when it starts, before its first request.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_cluster_lb_new(_: ModulePtr, _: EnvoyPtr) -> ModulePtr {
    nothing()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_cluster_lb_destroy(_: ModulePtr) {}

/// # Safety
///
/// Envoy passes places for both results.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_cluster_lb_choose_host(
    _: ModulePtr,
    _: EnvoyPtr,
    host: *mut EnvoyPtr,
    pending: *mut EnvoyPtr,
) {
    // SAFETY: by the function's contract.
    unsafe {
        host.write(ptr::null_mut());
        pending.write(ptr::null_mut());
    }
}
