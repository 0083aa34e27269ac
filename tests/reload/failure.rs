//! Failures on one thread: versions that do not start there, VMs that fail.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use dynvm::abi::types::{FilterHeadersStatus, LogLevel};
use dynvm::host::{Properties, PropertyError, PropertyPath};
use dynvm::{FailurePolicy, PluginConfig};
use dynvm_rollout::deploy::Deployment;

use crate::stage::{answer, begin, config, retained, version};
use harness::{Backend, compile, in_headers, loader, parts};

/// A service that has the property `ready`, or lacks it.
struct Ready(Rc<Cell<bool>>);

impl Properties for Ready {
    fn property(&self, path: PropertyPath<'_>) -> Result<Cow<'_, [u8]>, PropertyError> {
        match path.as_bytes() {
            b"ready" if self.0.get() => Ok(Cow::Borrowed(b"yes")),
            _ => Err(PropertyError::NotFound),
        }
    }
}

/// The canary accepts a version that does not start on a worker's thread: the old version keeps serving, and the start
/// is retried.
#[needs::wasm_clang]
#[test]
fn a_version_that_does_not_start_on_one_thread() {
    for backend in [Backend::Native, Backend::Wasm] {
        let mut config = config(&Default::default()).canary_services(|| {
            let mut services = parts().services;
            services.properties = Rc::new(Ready(Rc::new(Cell::new(true))));
            services
        });
        config.start_backoff.base = Duration::from_millis(50);
        let deployment = Deployment::new(loader(), version(backend, "one", &[]), config).unwrap();
        let ready = Rc::new(Cell::new(false));
        let parts = parts();
        let (mut services, property) = (parts.services, ready.clone());
        let mut worker = deployment
            .worker(move |_| {
                services.properties = Rc::new(Ready(property.clone()));
                services.clone()
            })
            .unwrap();
        deployment.reload_from(version(backend, "two", &["NEEDS_PROPERTY"])).unwrap();
        parts.log.take();

        let began = Instant::now();
        for _ in 0..3 {
            let stream = begin(&mut worker);
            assert_eq!(answer(&mut worker, stream, dynvm::abi::types::MapType::HttpRequestHeaders), "one");
            worker.end(stream);
        }
        let status = deployment.status();
        if began.elapsed() < Duration::from_millis(50) {
            assert_eq!(
                (worker.stats().start_failures, status.start_failures),
                (1, 1),
                "it is not tried for each stream"
            );
        }
        assert!(
            status.last_start_failure.as_ref().unwrap().message.contains("returned false from `proxy_on_configure`")
        );
        let log = parts.log.take();
        assert!(
            log.iter().any(|(level, text)| *level == LogLevel::Error
                && text.starts_with("version 2 does not start on this thread; version 1 keeps serving")),
            "{log:?}"
        );
        assert_eq!(retained(&status), [(1, 1, 0), (2, 0, 0)]);

        ready.set(true);
        while let Some(again) = worker.poll() {
            std::thread::sleep(again.saturating_duration_since(Instant::now()));
        }
        assert_eq!(retained(&deployment.status()), [(2, 1, 0)]);
    }
}

/// A failed VM is replaced by one of the same version; ids of the old VM are not accepted by the new one.
#[needs::wasm_clang]
#[test]
fn a_failed_vm_is_replaced_within_its_version() {
    for backend in [Backend::Native, Backend::Wasm] {
        let mut config = config(&Default::default());
        config.plugin_config = PluginConfig::named("probe")
            .configuration(in_headers(&["trap_at 2"]))
            .failure_policy(FailurePolicy::Reload);
        let deployment = Deployment::new(loader(), compile::plugin(backend, "probe.c", &[]), config).unwrap();
        let services = parts().services;
        let mut worker = deployment.worker(move |_| services.clone()).unwrap();
        let (first, second, third) = (begin(&mut worker), begin(&mut worker), begin(&mut worker));
        let go = |worker: &mut dynvm_rollout::deploy::Worker, stream: dynvm_rollout::deploy::StreamRef| {
            worker.vm_of(stream).map(|vm| vm.on_request_headers(stream.context(), 1, true))
        };
        assert_eq!(go(&mut worker, first), Some(FilterHeadersStatus::Continue));
        assert_eq!(go(&mut worker, second), Some(FilterHeadersStatus::StopAllIterationAndWatermark));
        assert_eq!(go(&mut worker, third), Some(FilterHeadersStatus::StopAllIterationAndWatermark));

        let fresh = begin(&mut worker);
        assert_eq!((fresh.version(), fresh.context().get()), (1, first.context().get()), "the numbers are the same");
        assert_ne!(fresh.context(), first.context(), "the VMs are not");
        assert_ne!(fresh, first);
        assert_eq!(go(&mut worker, first), None);
        assert!(worker.end(first).is_none() && worker.end(third).is_none());
        assert_eq!(go(&mut worker, fresh), Some(FilterHeadersStatus::Continue));
        assert_eq!(retained(&deployment.status()), [(1, 1, 1)]);
        assert_eq!(worker.plugin_stats().reload_success, 1);
        assert!(worker.end(fresh).is_some());
    }
}

/// A reload also replaces a failed version whose policy is to stay failed.
#[needs::wasm_clang]
#[test]
fn a_reload_replaces_a_failed_version() {
    for backend in [Backend::Native, Backend::Wasm] {
        let mut config = config(&Default::default());
        config.plugin_config = PluginConfig::named("probe").configuration(in_headers(&["trap"]));
        let deployment = Deployment::new(loader(), compile::plugin(backend, "probe.c", &[]), config).unwrap();
        let services = parts().services;
        let mut worker = deployment.worker(move |_| services.clone()).unwrap();
        let stream = begin(&mut worker);
        worker.vm_of(stream).unwrap().on_request_headers(stream.context(), 1, true);
        assert!(worker.vm_of(stream).unwrap().has_failed());
        deployment.reload_config(PluginConfig::named("probe")).unwrap();
        let fresh = begin(&mut worker);
        let status = worker.vm_of(fresh).unwrap().on_request_headers(fresh.context(), 1, true);
        assert_eq!(status, FilterHeadersStatus::Continue);
        assert_eq!(retained(&deployment.status()), [(1, 1, 1), (2, 1, 1)]);
        assert!(worker.end(stream).is_some());
        assert_eq!(retained(&deployment.status()), [(2, 1, 1)]);
    }
}
