//! Hostcalls on threads that a plugin starts: a handle of its VM gives such a thread a few of them.
//!
//! A handle is a number, looked up and never followed, so that one whose VM is gone is refused. The end of a VM waits for the hostcalls that
//! its threads are making, and after it they make none: what the embedder gave to the VM may be gone then.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use dynvm_abi::table::HostcallId;
use dynvm_abi::types::Status;
use dynvm_abi::version::AbiVersion;

use super::current_instance;
use super::guest::NativeGuest;
use super::vm::Instance;
use crate::config::VmConfig;
use crate::host::{Clock, Log, Metrics, Services, SharedData, SharedQueues, SystemClock};
use crate::instance::InstanceState;

/// The hostcalls of a VM that make sense without a context of the plugin.
const LIMITED: &[HostcallId] = &[
    HostcallId::proxy_define_metric,
    HostcallId::proxy_increment_metric,
    HostcallId::proxy_record_metric,
    HostcallId::proxy_get_metric,
    HostcallId::proxy_get_shared_data,
    HostcallId::proxy_set_shared_data,
    HostcallId::proxy_resolve_shared_queue,
    HostcallId::proxy_enqueue_shared_queue,
    HostcallId::proxy_dequeue_shared_queue,
];

/// Those of every VM, also where the embedder brings its own hostcalls, which need a context.
const ALWAYS: &[HostcallId] =
    &[HostcallId::proxy_log, HostcallId::proxy_get_log_level, HostcallId::proxy_get_current_time_nanoseconds];

/// What threads of a VM share with it.
struct Shared {
    /// Held for reading during a hostcall.
    ended: RwLock<bool>,
    config: VmConfig,
    log: Arc<dyn Log>,
    clock: Arc<dyn Clock>,
    metrics: Arc<dyn Metrics>,
    shared_data: Arc<dyn SharedData>,
    shared_queues: Arc<dyn SharedQueues>,
    abi_version: AbiVersion,
    allocator: Option<usize>,
    has_own_hostcalls: bool,
}

static VMS: Mutex<BTreeMap<usize, Arc<Shared>>> = Mutex::new(BTreeMap::new());

fn vms() -> MutexGuard<'static, BTreeMap<usize, Arc<Shared>>> {
    VMS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The context of an instance for its threads, made when the plugin asks for it.
#[derive(Default)]
pub(super) struct ThreadContext(OnceCell<usize>);

impl ThreadContext {
    fn handle(&self, instance: &Instance) -> usize {
        *self.0.get_or_init(|| {
            static COUNT: AtomicUsize = AtomicUsize::new(1);
            let state = instance.state();
            let mut config = VmConfig::with_id(state.config.vm_id.clone());
            config.capabilities = state.config.capabilities.clone();
            let Services { log, clock, metrics, shared_data, shared_queues, .. } = &state.services;
            let has_own_hostcalls = instance.foreign.is_some();
            let shared = Shared {
                ended: RwLock::new(false),
                config,
                log: log.clone(),
                // That of an embedder with its own hostcalls is for the VM's thread alone.
                clock: if has_own_hostcalls { Arc::new(SystemClock) } else { clock.clone() },
                metrics: metrics.clone(),
                shared_data: shared_data.clone(),
                shared_queues: shared_queues.clone(),
                abi_version: state.abi_version(),
                allocator: instance.allocator,
                has_own_hostcalls,
            };
            let handle = COUNT.fetch_add(1, Ordering::Relaxed);
            vms().insert(handle, Arc::new(shared));
            handle
        })
    }

    /// Ends the hostcalls of the VM's threads, and waits for those that are being made.
    pub(super) fn end(&self) {
        let Some(shared) = self.0.get().and_then(|handle| vms().remove(handle)) else { return };
        *shared.ended.write().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

/// A thread with a context.
struct Thread {
    handle: usize,
    shared: Arc<Shared>,
    /// A state of this thread's own, with the VM's services.
    state: Rc<InstanceState>,
}

thread_local! {
    static THREAD: RefCell<Option<Rc<Thread>>> = const { RefCell::new(None) };
}

/// `const void *proxy_dyn_get_thread_context(void)`
// SAFETY: the prefix is the loader's.
#[cfg_attr(feature = "null", unsafe(export_name = "dynvm_hc_proxy_dyn_get_thread_context"))]
pub(super) extern "C" fn get() -> *const c_void {
    // SAFETY: an instance lives for as long as it is current on this thread.
    let handle = match unsafe { current_instance::get().as_ref() } {
        Some(instance) => instance.thread_context.handle(instance),
        None => THREAD.try_with(|thread| thread.borrow().as_ref().map_or(0, |thread| thread.handle)).unwrap_or(0),
    };
    handle as *const c_void
}

/// `void proxy_dyn_set_limited_thread_context(const void *thread_context)`
// SAFETY: as above.
#[cfg_attr(feature = "null", unsafe(export_name = "dynvm_hc_proxy_dyn_set_limited_thread_context"))]
pub(super) extern "C" fn set_limited(context: *const c_void) {
    if !current_instance::get().is_null() {
        return;
    }
    let handle = context as usize;
    let shared = vms().get(&handle).cloned();
    let thread = shared.map(|shared| {
        let services = Services {
            log: shared.log.clone(),
            clock: shared.clock.clone(),
            metrics: shared.metrics.clone(),
            shared_data: shared.shared_data.clone(),
            shared_queues: shared.shared_queues.clone(),
            ..Services::default()
        };
        let state = InstanceState::new(shared.config.clone(), services, shared.abi_version);
        Rc::new(Thread { handle, shared, state })
    });
    let _ = THREAD.try_with(|current| current.replace(thread));
}

/// Makes a hostcall on a thread without a running VM, if the thread has a context that allows it.
#[cold]
pub(super) fn hostcall(id: HostcallId, call: impl FnOnce(&mut NativeGuest<'_>, &InstanceState) -> Status) -> Status {
    let thread = THREAD.try_with(|thread| thread.borrow().clone()).ok().flatten();
    let Some(thread) = thread else { return without_vm(id) };
    let shared = &thread.shared;
    let ended = shared.ended.read().unwrap_or_else(PoisonError::into_inner);
    if *ended {
        return without_vm(id);
    }
    if !ALWAYS.contains(&id) && (shared.has_own_hostcalls || !LIMITED.contains(&id)) {
        return Status::InternalFailure;
    }
    let mut guest = NativeGuest::of_thread(shared.allocator);
    // A panic of the host's must not unwind into the plugin.
    catch_unwind(AssertUnwindSafe(|| call(&mut guest, &thread.state))).unwrap_or(Status::InternalFailure)
}

/// What a thread without a VM is answered: one that the plugin started itself, or the process at its end, running destructors.
/// Logging is dropped without an error, as the Rust SDK panics on one.
fn without_vm(id: HostcallId) -> Status {
    if id == HostcallId::proxy_log { Status::Ok } else { Status::InternalFailure }
}
