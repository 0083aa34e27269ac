//! Metrics of a filter's configuration. Envoy changes them through the configuration or through a stream, by two families of
//! functions with the same signature.

use std::ffi::c_void;
use std::ptr;

use dynvm::abi::types::MetricType;

use super::types::ModuleBuffer;

/// A metric, by Envoy's number.
#[derive(Clone, Copy, Debug)]
pub struct EnvoyMetric {
    /// Its type.
    pub kind: MetricType,
    pub(super) id: usize,
}

/// A change to a metric.
#[derive(Clone, Copy, Debug)]
pub enum MetricChange {
    /// Adds to a counter or gauge.
    Add(u64),
    /// Subtracts from a gauge.
    Subtract(u64),
    /// Sets a gauge, or records a sample in a histogram.
    Record(u64),
}

/// Object, metric, values of labels and their number, value.
pub(super) type ChangeFunction = unsafe extern "C" fn(*mut c_void, usize, *const ModuleBuffer, usize, u64) -> i32;

/// A family of functions. `None`: this Envoy does not have it.
pub(super) struct ChangeFunctions {
    pub(super) increment_counter: Option<ChangeFunction>,
    pub(super) increment_gauge: Option<ChangeFunction>,
    pub(super) decrement_gauge: Option<ChangeFunction>,
    pub(super) set_gauge: Option<ChangeFunction>,
    pub(super) record_histogram: Option<ChangeFunction>,
}

impl ChangeFunctions {
    /// Changes a metric. False if this Envoy cannot do so.
    ///
    /// # Safety
    ///
    /// The object is a living one of the family's, to which the metric belongs.
    pub(super) unsafe fn change(
        &self,
        object: *mut c_void,
        metric: EnvoyMetric,
        label: Option<&[u8]>,
        change: MetricChange,
    ) -> bool {
        let (function, value) = match (metric.kind, change) {
            (MetricType::Gauge, MetricChange::Add(value)) => (self.increment_gauge, value),
            (MetricType::Gauge, MetricChange::Subtract(value)) => (self.decrement_gauge, value),
            (MetricType::Gauge, MetricChange::Record(value)) => (self.set_gauge, value),
            (MetricType::Histogram, MetricChange::Record(value)) => (self.record_histogram, value),
            (_, MetricChange::Add(value) | MetricChange::Record(value)) => (self.increment_counter, value),
            // Counters and histograms do not go down.
            (_, MetricChange::Subtract(_)) => return true,
        };
        let Some(function) = function else { return false };
        let label = label.map(ModuleBuffer::new);
        let (labels, count) = label.as_ref().map_or((ptr::null(), 0), |label| (ptr::from_ref(label), 1));
        // SAFETY: by the caller's promise; the label outlives the call.
        unsafe { function(object, metric.id, labels, count, value) };
        true
    }
}
