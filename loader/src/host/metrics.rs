//! Metrics that plugins define.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, RwLock};

use dynvm_abi::types::MetricType;

/// Number of a metric. Its type is in the low two bits, as in proxy-wasm-cpp-host.
pub type MetricId = u32;

/// Error of an operation on a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricError {
    /// No metric has this number.
    NotFound,
    /// Metrics of this type do not support the operation.
    BadArgument,
}

/// Counters, gauges and histograms by name.
pub trait Metrics: Send + Sync {
    /// Defines a metric, or returns the existing one of this type and name.
    fn define(&self, kind: MetricType, name: &[u8]) -> MetricId;

    /// Adds to a counter or a gauge. The offset of a counter must not be negative.
    fn increment(&self, metric: MetricId, offset: i64) -> Result<(), MetricError>;

    /// Sets a gauge, adds to a counter, or records a sample in a histogram.
    fn record(&self, metric: MetricId, value: u64) -> Result<(), MetricError>;

    /// The value of a counter or a gauge.
    fn get(&self, metric: MetricId) -> Result<u64, MetricError>;
}

/// The value of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricValue {
    /// Sum of all increments.
    Counter(u64),
    /// The last value set, plus later increments.
    Gauge(i64),
    /// Number and sum of the samples; their distribution is not kept.
    Histogram {
        /// Number of samples.
        count: u64,
        /// Sum of the samples.
        sum: u64,
    },
}

enum Cell {
    Counter(AtomicU64),
    Gauge(AtomicI64),
    Histogram { count: AtomicU64, sum: AtomicU64 },
}

struct Metric {
    name: Vec<u8>,
    state: Cell,
}

/// Metrics in the memory of this process.
#[derive(Default)]
pub struct InProcessMetrics {
    ids: Mutex<HashMap<(MetricType, Vec<u8>), MetricId>>,
    metrics: RwLock<Vec<Arc<Metric>>>,
}

impl InProcessMetrics {
    /// The instance that all VMs share by default.
    pub fn process() -> Arc<InProcessMetrics> {
        static PROCESS: LazyLock<Arc<InProcessMetrics>> = LazyLock::new(Arc::default);
        PROCESS.clone()
    }

    /// All metrics with their current values, sorted by name.
    pub fn snapshot(&self) -> Vec<(String, MetricValue)> {
        let metrics = self.metrics.read().unwrap_or_else(|e| e.into_inner());
        let mut values: Vec<_> = metrics
            .iter()
            .map(|metric| {
                let value = match &metric.state {
                    Cell::Counter(value) => MetricValue::Counter(value.load(Ordering::Relaxed)),
                    Cell::Gauge(value) => MetricValue::Gauge(value.load(Ordering::Relaxed)),
                    Cell::Histogram { count, sum } => MetricValue::Histogram {
                        count: count.load(Ordering::Relaxed),
                        sum: sum.load(Ordering::Relaxed),
                    },
                };
                (String::from_utf8_lossy(&metric.name).into_owned(), value)
            })
            .collect();
        values.sort_by(|a, b| a.0.cmp(&b.0));
        values
    }

    fn find<R>(&self, id: MetricId, f: impl FnOnce(&Cell) -> Result<R, MetricError>) -> Result<R, MetricError> {
        let metrics = self.metrics.read().unwrap_or_else(|e| e.into_inner());
        let index = (id as usize >> 2).checked_sub(1).ok_or(MetricError::NotFound)?;
        let metric = metrics.get(index).ok_or(MetricError::NotFound)?;
        let kind = match metric.state {
            Cell::Counter(_) => MetricType::Counter,
            Cell::Gauge(_) => MetricType::Gauge,
            Cell::Histogram { .. } => MetricType::Histogram,
        };
        if id & 3 != kind as u32 {
            return Err(MetricError::NotFound);
        }
        f(&metric.state)
    }
}

impl Metrics for InProcessMetrics {
    fn define(&self, kind: MetricType, name: &[u8]) -> MetricId {
        let mut ids = self.ids.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(id) = ids.get(&(kind, name.to_owned())) {
            return *id;
        }
        let mut metrics = self.metrics.write().unwrap_or_else(|e| e.into_inner());
        let state = match kind {
            MetricType::Gauge => Cell::Gauge(AtomicI64::new(0)),
            MetricType::Histogram => Cell::Histogram { count: AtomicU64::new(0), sum: AtomicU64::new(0) },
            _ => Cell::Counter(AtomicU64::new(0)),
        };
        metrics.push(Arc::new(Metric { name: name.to_owned(), state }));
        let id = (metrics.len() as MetricId) << 2 | kind as MetricId;
        ids.insert((kind, name.to_owned()), id);
        id
    }

    fn increment(&self, metric: MetricId, offset: i64) -> Result<(), MetricError> {
        self.find(metric, |state| match state {
            Cell::Counter(value) => {
                let offset = u64::try_from(offset).map_err(|_| MetricError::BadArgument)?;
                value.fetch_add(offset, Ordering::Relaxed);
                Ok(())
            }
            Cell::Gauge(value) => {
                value.fetch_add(offset, Ordering::Relaxed);
                Ok(())
            }
            Cell::Histogram { .. } => Err(MetricError::BadArgument),
        })
    }

    fn record(&self, metric: MetricId, value: u64) -> Result<(), MetricError> {
        self.find(metric, |state| {
            match state {
                Cell::Counter(counter) => {
                    counter.fetch_add(value, Ordering::Relaxed);
                }
                Cell::Gauge(gauge) => gauge.store(value as i64, Ordering::Relaxed),
                Cell::Histogram { count, sum } => {
                    count.fetch_add(1, Ordering::Relaxed);
                    sum.fetch_add(value, Ordering::Relaxed);
                }
            }
            Ok(())
        })
    }

    fn get(&self, metric: MetricId) -> Result<u64, MetricError> {
        self.find(metric, |state| match state {
            Cell::Counter(value) => Ok(value.load(Ordering::Relaxed)),
            Cell::Gauge(value) => Ok(value.load(Ordering::Relaxed) as u64),
            Cell::Histogram { .. } => Err(MetricError::BadArgument),
        })
    }
}
