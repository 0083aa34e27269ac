//! Pages for Prometheus.

use std::collections::BTreeMap;
use std::sync::Arc;

use dynvm::host::plugin_metrics;
use dynvm::host::{InProcessMetrics, MetricValue, Metrics as _};
use dynvm::observe::Observer;
use dynvm::{PluginConfig, Vm};

use crate::page::{Family, parse};
use crate::{BACKENDS, kind, observed, plugin, services};
use harness::{TestStream, in_headers, probe};

/// The value of the only sample that has these labels, among others.
fn value(families: &BTreeMap<String, Family>, family: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let samples = families[family]
        .samples
        .iter()
        .filter(|sample| sample.name == name && labels.iter().all(|(label, value)| sample.label(label) == Some(value)));
    let found: Vec<f64> = samples.map(|sample| sample.value).collect();
    assert_eq!(found.len(), 1, "{name} {labels:?}");
    found[0]
}

#[needs::wasm_clang]
#[test]
fn a_page_has_what_was_seen() {
    let observer = Observer::new();
    for backend in BACKENDS {
        let mut harness = observed(&observer, &probe(backend, &[]), &in_headers(&["trap_at 3"]));
        for _ in 0..3 {
            let id = harness.stream(TestStream::default());
            harness.vm.on_request_headers(id, 0, true);
        }
        let page = parse(&observer.prometheus());
        let backend_label = ("backend", kind(backend).name());
        let get = |name, labels: &[(&str, &str)]| value(&page, name, name, &[labels, &[backend_label]].concat());
        assert_eq!(get("dynvm_plugins", &[("plugin", "probe"), ("state", "failed")]), 1.0);
        assert_eq!(get("dynvm_plugins", &[("plugin", "probe"), ("state", "running")]), 0.0);
        assert_eq!(get("dynvm_plugin_starts_total", &[("plugin", "probe"), ("result", "started")]), 1.0);
        assert_eq!(get("dynvm_vm_failures_total", &[("plugin", "probe"), ("kind", "trap")]), 1.0);
        assert_eq!(get("dynvm_vm_failures_total", &[("plugin", "probe"), ("kind", "exit")]), 0.0);
        let module = harness.vm.module().clone();
        assert_eq!(get("dynvm_vms", &[("module", module.name()), ("state", "failed")]), 1.0);
        assert_eq!(get("dynvm_vms_created_total", &[("module", module.name())]), 1.0);
        let size = module.info().size.to_string();
        assert_eq!(get("dynvm_module_info", &[("abi_version", "0.2.1"), ("size_bytes", &size)]), 1.0);
        let times = "dynvm_callback_duration_seconds";
        let labels = [("plugin", "probe"), backend_label, ("callback", "proxy_on_request_headers")];
        assert_eq!(value(&page, times, "dynvm_callback_duration_seconds_count", &labels), 3.0);
        let seen = plugin(&observer, "probe", backend).callbacks;
        let seen = seen.iter().find(|seen| seen.callback.describe().name == "proxy_on_request_headers").unwrap();
        assert_eq!(value(&page, times, "dynvm_callback_duration_seconds_sum", &labels), seen.time.sum().as_secs_f64());
        for (bound, count) in seen.time.cumulative() {
            let in_bucket = page[times].samples.iter().find(|sample| {
                let le = sample.label("le").map(|le| le.parse::<f64>().unwrap());
                le == Some(bound.map_or(f64::INFINITY, |bound| bound.as_secs_f64()))
                    && labels.iter().all(|(label, value)| sample.label(label) == Some(value))
            });
            assert_eq!(in_bucket.expect("each bucket is there").value, count as f64, "{bound:?}");
        }
    }
}

#[test]
fn an_observer_that_saw_nothing_has_a_page() {
    let families = parse(&Observer::new().prometheus());
    assert!(!families.is_empty() && families.values().all(|family| family.samples.is_empty()));
}

#[needs::wasm_clang]
#[test]
fn names_of_any_kind_come_back() {
    for backend in BACKENDS {
        for name in ["", "quo\"te", "back\\slash", "two\nlines", "\\n", "}", "a,b=\"c\"", "gr\u{fc}n \u{1f980}"] {
            let observer = Observer::new();
            let mut vm = Vm::builder(&probe(backend, &[])).services(services(&observer)).build().unwrap();
            vm.start_plugin(PluginConfig::named(name)).unwrap();
            let page = parse(&observer.prometheus());
            let labels = [("plugin", name), ("state", "running")];
            assert_eq!(value(&page, "dynvm_plugins", "dynvm_plugins", &labels), 1.0, "{name:?}");
        }
    }
}

#[needs::wasm_clang]
#[test]
fn metrics_of_plugins_keep_their_names() {
    for backend in BACKENDS {
        let observer = Observer::new();
        let metrics = Arc::new(InProcessMetrics::default());
        let mut services = services(&observer);
        services.metrics = metrics.clone();
        let mut vm = Vm::builder(&probe(backend, &[])).services(services).build().unwrap();
        // Metric ids: their number from 1 on times four, and the type.
        let script = in_headers(&[
            "proxy_define_metric 0 acme.requests",
            "proxy_define_metric 1 acme_temperature",
            "proxy_define_metric 2 acme-sizes",
            "proxy_increment_metric 4 3",
            "proxy_record_metric 9 21",
            "proxy_record_metric 14 100",
            "proxy_record_metric 14 50",
        ]);
        let root = vm.start_plugin(PluginConfig::named("p").configuration(script)).unwrap();
        let id = vm.create_stream(root, Box::new(TestStream::default())).unwrap();
        vm.on_request_headers(id, 0, true);
        let page = plugin_metrics(&metrics.snapshot(), "");
        let families = parse(&page);
        let kinds: Vec<_> = families.iter().map(|(name, family)| (name.as_str(), family.kind.as_str())).collect();
        assert_eq!(kinds, [("acme_requests", "counter"), ("acme_sizes", "summary"), ("acme_temperature", "gauge")]);
        assert_eq!(value(&families, "acme_requests", "acme_requests", &[]), 3.0);
        assert_eq!(value(&families, "acme_temperature", "acme_temperature", &[]), 21.0);
        assert_eq!(value(&families, "acme_sizes", "acme_sizes_sum", &[]), 150.0);
        assert_eq!(value(&families, "acme_sizes", "acme_sizes_count", &[]), 2.0);
        // Both pages together are one valid page.
        parse(&(observer.prometheus() + &page));
    }
}

/// Whatever names plugins give their metrics, the page stays valid, together with the loader's own metrics.
#[test]
fn no_name_spoils_a_page() {
    let metrics = InProcessMetrics::default();
    let kinds = {
        use dynvm::abi::types::MetricType::*;
        [Counter, Gauge, Histogram]
    };
    let names: [&[u8]; 12] = [
        b"",
        b"a b",
        b"a.b",
        b"a_b",
        b"a_b_count",
        b"a_b_gauge",
        b"9",
        b"\xff\xfe",
        b"new\nline",
        b"quo\"te{x=\"y\"} 1",
        b"dynvm_vms",
        b"# TYPE x counter",
    ];
    for kind in kinds {
        for name in names {
            metrics.define(kind, name);
        }
    }
    let snapshot = metrics.snapshot();
    let families = parse(&(Observer::new().prometheus() + &plugin_metrics(&snapshot, "")));
    let plugins = families.iter().filter(|(name, _)| !name.starts_with("dynvm_"));
    assert_eq!(plugins.count(), snapshot.len(), "each has a family of its own");
    assert!(snapshot.iter().any(|(_, value)| matches!(value, MetricValue::Histogram { .. })));
    let prefixed = parse(&plugin_metrics(&snapshot, "wasmcustom."));
    assert!(prefixed.keys().all(|name| name.starts_with("wasmcustom_")));
}

/// The table in the documentation lists exactly the metrics of the page.
#[test]
fn the_documentation_lists_the_metrics() {
    let text = include_str!("../../docs/observability.md");
    let listed: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `dynvm_"))
        .map(|line| {
            let mut cells = line.split('|').map(str::trim);
            (cells.next().unwrap().trim_end_matches('`'), cells.next().unwrap())
        })
        .collect();
    let page = Observer::new().prometheus();
    let families = parse(&page);
    let there: BTreeMap<&str, &str> =
        families.iter().map(|(name, family)| (name.strip_prefix("dynvm_").unwrap(), family.kind.as_str())).collect();
    assert_eq!(listed, there);
}
