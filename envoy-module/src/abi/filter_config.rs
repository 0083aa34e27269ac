//! One filter configuration in Envoy: its metrics, its calls, and the way to the main thread.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::sync::{Mutex, PoisonError, RwLock};

use dynvm::abi::types::MetricType;
use dynvm::host::Headers;

use super::call::{self, StartError};
use super::functions::envoy;
use super::metric::{ChangeFunctions, EnvoyMetric, MetricChange};
use super::types::{ModuleBuffer, ModuleHeader};
use crate::calls::CallStart;

/// A filter configuration. Its methods do nothing after Envoy has destroyed it.
pub struct FilterConfig {
    // Read by any thread, for metrics; written when Envoy destroys the configuration, which thus waits for the readers.
    config: RwLock<*mut c_void>,
    scheduler: Mutex<*mut c_void>,
}

// SAFETY: metrics of a configuration may be changed and events scheduled on any thread, as Envoy's documentation says.
// Calls are made on the main thread only, by the contract of their methods.
unsafe impl Send for FilterConfig {}
// SAFETY: as above; the locks order the use of the pointers.
unsafe impl Sync for FilterConfig {}

/// Calls a function of Envoy, if it has it, with the configuration as the first argument. Must stand in `unsafe`.
macro_rules! call {
    ($self:ident.$name:ident($($argument:expr),*)) => {{
        let config = $self.config.read().unwrap_or_else(PoisonError::into_inner);
        match envoy().$name {
            Some(function) if !config.is_null() => Some(function(*config, $($argument),*)),
            _ => None,
        }
    }};
}

/// The same for calls, whose hooks Envoy may run inside: without the lock, as the main thread is also the one that destroys
/// configurations.
macro_rules! call_unlocked {
    ($self:ident.$name:ident($($argument:expr),*)) => {{
        let config = *$self.config.read().unwrap_or_else(PoisonError::into_inner);
        match envoy().$name {
            Some(function) if !config.is_null() => Some(function(config, $($argument),*)),
            _ => None,
        }
    }};
}

// The safety comments below rely on this: while the lock is held for reading, the configuration is not destroyed. Slices
// given to Envoy outlive the call, which copies them.
impl FilterConfig {
    /// The configuration behind Envoy's pointer, on the main thread.
    pub(super) fn new(config: *mut c_void) -> FilterConfig {
        let scheduler = match envoy().http_filter_config_scheduler_new {
            // SAFETY: Envoy is creating this configuration, on this thread.
            Some(new) if !config.is_null() => unsafe { new(config) },
            _ => ptr::null_mut(),
        };
        FilterConfig { config: RwLock::new(config), scheduler: Mutex::new(scheduler) }
    }

    /// A configuration without an object in Envoy.
    pub fn none() -> FilterConfig {
        FilterConfig::new(ptr::null_mut())
    }

    /// Forgets the configuration, which Envoy destroys. Waits for threads that use it.
    pub fn forget(&self) {
        let scheduler = std::mem::replace(&mut *self.lock_scheduler(), ptr::null_mut());
        if let (Some(delete), false) = (envoy().http_filter_config_scheduler_delete, scheduler.is_null()) {
            // SAFETY: the scheduler was created by Envoy, and nobody uses it any more.
            unsafe { delete(scheduler) }
        }
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = ptr::null_mut();
    }

    /// Has the main thread run the configuration's event hook. Any thread may call this.
    pub fn wake_main(&self) -> bool {
        let scheduler = self.lock_scheduler();
        match envoy().http_filter_config_scheduler_commit {
            Some(commit) if !scheduler.is_null() => {
                // SAFETY: the scheduler lives while the lock is held.
                unsafe { commit(*scheduler, 0) }
                true
            }
            _ => false,
        }
    }

    /// Defines a metric, with a label if one is named. Main thread, while the configuration is created; Envoy refuses
    /// later definitions.
    pub fn define(&self, kind: MetricType, name: &[u8], label: Option<&[u8]>) -> Option<EnvoyMetric> {
        let label = label.map(ModuleBuffer::new);
        let (labels, count) = label.as_ref().map_or((ptr::null(), 0), |label| (ptr::from_ref(label), 1));
        let name = ModuleBuffer::new(name);
        let mut id = 0;
        // SAFETY: see above.
        let result = unsafe {
            match kind {
                MetricType::Gauge => call!(self.http_filter_config_define_gauge(name, labels, count, &mut id)),
                MetricType::Histogram => call!(self.http_filter_config_define_histogram(name, labels, count, &mut id)),
                _ => call!(self.http_filter_config_define_counter(name, labels, count, &mut id)),
            }
        };
        (result == Some(0)).then_some(EnvoyMetric { kind, id })
    }

    /// Changes a metric. False if this Envoy cannot do so without a stream.
    pub fn change(&self, metric: EnvoyMetric, label: Option<&[u8]>, change: MetricChange) -> bool {
        let functions = ChangeFunctions {
            increment_counter: envoy().http_filter_config_increment_counter,
            increment_gauge: envoy().http_filter_config_increment_gauge,
            decrement_gauge: envoy().http_filter_config_decrement_gauge,
            set_gauge: envoy().http_filter_config_set_gauge,
            record_histogram: envoy().http_filter_config_record_histogram_value,
        };
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: see above; the metric is of this configuration.
        !config.is_null() && unsafe { functions.change(*config, metric, label, change) }
    }

    /// Starts a call that no stream owns; see [`call::start`]. Main thread only.
    pub fn start_call(&self, id: &Cell<u64>, call: &CallStart) -> Result<(), StartError> {
        // Without the lock, as in `call_unlocked`.
        let config = *self.config.read().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: see above, and the thread is the main one.
        unsafe { call::start(envoy().http_filter_config_start_http_stream, config, id, call) }
    }

    /// Sends data on a call. Main thread only.
    pub fn send_call_data(&self, id: u64, data: &[u8], end_stream: bool) -> bool {
        // SAFETY: see above, and the thread is the main one.
        unsafe {
            call_unlocked!(self.http_filter_config_stream_send_data(id, ModuleBuffer::new(data), end_stream))
                .unwrap_or(false)
        }
    }

    /// Sends trailers on a call, which end the module's side. Main thread only.
    pub fn send_call_trailers(&self, id: u64, trailers: &Headers) -> bool {
        let lines = ModuleHeader::lines(trailers);
        // SAFETY: see above, and the thread is the main one.
        unsafe {
            call_unlocked!(self.http_filter_config_stream_send_trailers(id, lines.as_ptr(), lines.len()))
                .unwrap_or(false)
        }
    }

    /// Resets a call. Main thread only. Envoy may run its reset hook before this returns.
    pub fn reset_call(&self, id: u64) {
        // SAFETY: see above, and the thread is the main one.
        unsafe { call_unlocked!(self.http_filter_config_reset_http_stream(id)) };
    }

    fn lock_scheduler(&self) -> std::sync::MutexGuard<'_, *mut c_void> {
        self.scheduler.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
