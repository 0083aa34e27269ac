//! Metrics of plugins as Envoy's.
//!
//! Envoy takes new metrics only while it creates a filter's configuration. The plugin's trial on the main thread runs
//! then, so what it defines at its start gets a metric of its own name. What is defined later becomes a value of the
//! label `metric` of one of three metrics that are defined ahead: `late_counter`, `late_gauge`, `late_histogram`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use dynvm::abi::types::MetricType;
use dynvm::host::{InProcessMetrics, MetricError, MetricId, Metrics};

use crate::abi::filter_config::FilterConfig;
use crate::abi::http_filter::HttpFilter;
use crate::abi::metric::{EnvoyMetric, MetricChange};

/// The metrics of one filter configuration.
pub struct EnvoyMetrics {
    /// The values, for plugins that read them: Envoy does not tell them.
    values: Arc<InProcessMetrics>,
    config: Arc<FilterConfig>,
    state: RwLock<State>,
    /// Changes made outside of streams on an Envoy that changes metrics through streams only.
    waiting: Mutex<Vec<(Target, MetricChange)>>,
    has_waiting: AtomicBool,
}

struct State {
    /// True while Envoy takes definitions.
    open: bool,
    late: Vec<EnvoyMetric>,
    metrics: HashMap<MetricId, Known>,
}

struct Known {
    kind: MetricType,
    /// `None`: Envoy does not have it.
    target: Option<Target>,
}

#[derive(Clone)]
struct Target {
    metric: EnvoyMetric,
    /// The plugin's name of a late metric.
    label: Option<Vec<u8>>,
}

impl EnvoyMetrics {
    /// Metrics of a configuration that Envoy is creating.
    pub fn new(config: Arc<FilterConfig>) -> EnvoyMetrics {
        let late = [
            (MetricType::Counter, &b"late_counter"[..]),
            (MetricType::Gauge, b"late_gauge"),
            (MetricType::Histogram, b"late_histogram"),
        ];
        let late = late.into_iter().filter_map(|(kind, name)| config.define(kind, name, Some(b"metric"))).collect();
        EnvoyMetrics {
            values: InProcessMetrics::process(),
            config,
            state: RwLock::new(State { open: true, late, metrics: HashMap::new() }),
            waiting: Mutex::default(),
            has_waiting: AtomicBool::new(false),
        }
    }

    /// Envoy takes no more definitions.
    pub fn close(&self) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).open = false;
    }

    /// Makes the changes that waited for a stream.
    pub fn flush(&self, filter: &HttpFilter) {
        if !self.has_waiting.load(Ordering::Relaxed) {
            return;
        }
        self.has_waiting.store(false, Ordering::Relaxed);
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for (target, change) in waiting {
            filter.change_metric(target.metric, target.label.as_deref(), change);
        }
    }

    fn kind(&self, id: MetricId) -> Option<MetricType> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).metrics.get(&id).map(|known| known.kind)
    }

    fn change(&self, id: MetricId, change: MetricChange) {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let Some(target) = state.metrics.get(&id).and_then(|known| known.target.as_ref()) else { return };
        if !self.config.change(target.metric, target.label.as_deref(), change) {
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push((target.clone(), change));
            self.has_waiting.store(true, Ordering::Relaxed);
        }
    }
}

impl Metrics for EnvoyMetrics {
    fn define(&self, kind: MetricType, name: &[u8]) -> MetricId {
        let id = self.values.define(kind, name);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if !state.metrics.contains_key(&id) {
            let own = state.open.then(|| self.config.define(kind, name, None)).flatten();
            let late = || state.late.iter().find(|metric| metric.kind == kind).copied();
            let target = match own {
                Some(metric) => Some(Target { metric, label: None }),
                None => late().map(|metric| Target { metric, label: Some(name.to_vec()) }),
            };
            state.metrics.insert(id, Known { kind, target });
        }
        id
    }

    fn increment(&self, metric: MetricId, offset: i64) -> Result<(), MetricError> {
        // Envoy's wasm filter refuses it.
        if offset == 0 && self.kind(metric) == Some(MetricType::Counter) {
            return Err(MetricError::BadArgument);
        }
        self.values.increment(metric, offset)?;
        self.change(
            metric,
            if offset < 0 { MetricChange::Subtract(offset.unsigned_abs()) } else { MetricChange::Add(offset as u64) },
        );
        Ok(())
    }

    fn record(&self, metric: MetricId, value: u64) -> Result<(), MetricError> {
        self.values.record(metric, value)?;
        self.change(metric, MetricChange::Record(value));
        Ok(())
    }

    fn get(&self, metric: MetricId) -> Result<u64, MetricError> {
        self.values.get(metric)
    }
}
