//! Checklist 11, 27, 28: VMs that fail.

use dynvm::abi::types::{FilterDataStatus, FilterHeadersStatus, FilterStatus, FilterTrailersStatus};
use dynvm::{CallError, FailurePolicy, Plugin, PluginConfig, ReloadBackoff, StartError, Vm};

use super::backend;
use harness::{Harness, TestStream, in_headers, parts, probe, script};

/// Checklist 11, 27: under `FAIL_CLOSED` a stream is failed once, in both directions, and no code of the plugin runs.
#[super::compiler]
#[test]
fn a_failed_vm_is_closed() {
    for how in ["trap", "crash", "overflow"] {
        let mut harness = Harness::new(backend(), &in_headers(&[how]));
        let stream = TestStream::default();
        let asked = stream.asked.clone();
        let id = harness.stream(stream);
        assert_eq!(harness.vm.on_request_headers(id, 0, false), FilterHeadersStatus::StopAllIterationAndWatermark, "{how}");
        assert!(harness.vm.has_failed() && harness.vm.failure().is_some(), "{how}");
        let lines = harness.log();
        assert!(lines.last().unwrap().starts_with("[Critical] the plugin failed in proxy_on_request_headers: "), "{lines:?}");
        assert_eq!(harness.vm.on_request_body(id, 0, true), FilterDataStatus::StopIterationNoBuffer);
        assert_eq!(harness.vm.on_request_trailers(id, 0), FilterTrailersStatus::StopIteration);
        assert_eq!(*asked.borrow(), ["fail HttpRequest", "fail HttpResponse"], "once");
        // Checklist 11: a failed VM gets no callback, and on_done counts as true.
        assert!(harness.vm.on_done(id));
        harness.vm.on_log(id);
        assert!(harness.vm.delete_stream(id).is_some());
        harness.vm.on_tick(harness.root);
        harness.vm.on_queue_ready(harness.root, 1);
        assert!(matches!(harness.vm.on_foreign_function(harness.root, 1, Vec::new()), Err(CallError::Vm(_))));
        assert!(harness.vm.start_plugin(PluginConfig::default()).is_err());
        assert!(harness.log().is_empty(), "{how}");
        // Checklist 28: a new VM of the same module serves on the same thread.
        let mut next = Harness::new(backend(), "");
        assert!(next.did(TestStream::default()).is_empty());
    }
}

/// Checklist 27: a connection fails downstream and upstream.
#[super::compiler]
#[test]
fn a_failed_connection() {
    let mut harness = Harness::new(backend(), &script("on_new_connection", &["trap"]));
    let stream = TestStream::default();
    let asked = stream.asked.clone();
    let id = harness.stream(stream);
    assert_eq!(harness.vm.on_new_connection(id), FilterStatus::StopIteration);
    assert_eq!(*asked.borrow(), ["fail Downstream", "fail Upstream"]);
}

/// Checklist 27: the behavior measured on Envoy 1.40, for five requests to a plugin that traps at its second.
#[super::compiler]
#[test]
fn failure_policies_over_several_streams() {
    let codes = |policy: FailurePolicy| -> Vec<u32> {
        let config = PluginConfig::named("p").failure_policy(policy).configuration(in_headers(&["trap_at 2"]));
        let module = probe(backend(), &[]);
        let plugin = Plugin::builder(&module, config).services(parts().services);
        let mut plugin = plugin.backoff(ReloadBackoff::none()).start().unwrap();
        let mut serve = || {
            let (vm, root) = plugin.vm_for_new_stream();
            let id = vm.create_stream(root, Box::new(TestStream::default())).unwrap();
            let status = vm.on_request_headers(id, 0, true);
            vm.delete_stream(id);
            if status == FilterHeadersStatus::Continue { 200 } else { 503 }
        };
        let codes = (0..5).map(|_| serve()).collect();
        let stats = plugin.stats();
        match policy {
            FailurePolicy::Reload => assert_eq!((stats.failures, stats.reload_success), (2, 2)),
            _ => assert_eq!((stats.failures, stats.reload_success), (1, 0)),
        }
        codes
    };
    assert_eq!(codes(FailurePolicy::Closed), [200, 503, 503, 503, 503]);
    assert_eq!(codes(FailurePolicy::Reload), [200, 503, 200, 503, 200]);
    assert_eq!(codes(FailurePolicy::Open), [200, 503, 200, 200, 200]);
}

/// The tracer sees callbacks and hostcalls, decoded.
#[super::compiler]
#[test]
fn tracing() {
    use dynvm::call_trace::{Event, Value};
    let events = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let mut harness = Harness::new(backend(), &in_headers(&["proxy_get_header_map_value 0 k", "return 1"]));
    let id = harness.stream(TestStream::with_headers([("k", "v")]));
    let sink = events.clone();
    harness.vm.set_tracer(Some(Box::new(move |event| sink.borrow_mut().push(event))));
    harness.vm.on_request_headers(id, 1, true);
    harness.vm.set_tracer(None);
    harness.vm.on_request_body(id, 0, true);
    let events = events.borrow();
    assert_eq!(
        events[0],
        Event::CallbackEnter {
            name: "proxy_on_request_headers",
            arguments: vec![("context_id", Value::Number(2)), ("num_headers", Value::Number(1)), ("end_of_stream", Value::Number(1))],
        }
    );
    let call = events.iter().find(|event| matches!(event, Event::Hostcall { name: "proxy_get_header_map_value", .. })).unwrap();
    let Event::Hostcall { arguments, results, status, .. } = call else { unreachable!("found by its kind") };
    assert_eq!(*arguments, [("map_type", Value::Number(0)), ("key", Value::Bytes(b"k".to_vec()))]);
    assert_eq!(*status, dynvm::abi::types::Status::Ok);
    assert_eq!(*results, [("value", Value::Bytes(b"v".to_vec()))]);
    assert!(matches!(events.last(), Some(Event::CallbackLeave { returned: Some(1), exported: true, failure: None, .. })));
}

/// A replacement that does not start leaves the tracer with the plugin, for the next replacement.
#[super::compiler]
#[test]
fn the_tracer_outlives_a_replacement_that_does_not_start() {
    use std::cell::Cell;
    use std::rc::Rc;

    use dynvm::call_trace::Event;
    use dynvm::host::{Properties, PropertyError, PropertyPath};

    /// A host that has a property for a while.
    struct Sometimes(Rc<Cell<bool>>);
    impl Properties for Sometimes {
        fn property(&self, _: PropertyPath<'_>) -> Result<std::borrow::Cow<'_, [u8]>, PropertyError> {
            if self.0.get() { Ok(b"here".into()) } else { Err(PropertyError::NotFound) }
        }
    }
    let (here, starts) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0)));
    let (mut parts, seen) = (parts(), starts.clone());
    parts.services.properties = Rc::new(Sometimes(here.clone()));
    let text = script("on_configure", &["trap_if fault"]) + &in_headers(&["trap"]);
    let config = PluginConfig::named("p").failure_policy(FailurePolicy::Reload).configuration(text);
    let tracer: Box<dyn dynvm::call_trace::Tracer> = Box::new(move |event| {
        if matches!(event, Event::CallbackEnter { name: "proxy_on_configure", .. }) {
            seen.set(seen.get() + 1);
        }
    });
    let probe = probe(backend(), &[]);
    let builder = Plugin::builder(&probe, config).services(parts.services).tracer(tracer);
    let started = builder.backoff(dynvm::ReloadBackoff::none()).start();
    let mut plugin = started.unwrap();
    let (vm, root) = plugin.vm_for_new_stream();
    let id = vm.create_stream(root, Box::new(TestStream::default())).unwrap();
    vm.on_request_headers(id, 0, true);
    here.set(true);
    assert!(plugin.vm_for_new_stream().0.has_failed(), "the replacement does not start");
    here.set(false);
    assert!(!plugin.vm_for_new_stream().0.has_failed());
    assert_eq!((starts.get(), plugin.stats().reload_failure), (3, 1), "each start was traced");
}

/// A replacement that cannot even be created leaves the tracer with the plugin too. Here the host panics in its start function.
#[super::compiler]
#[test]
fn the_tracer_outlives_a_replacement_that_is_not_created() {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use dynvm::call_trace::Event;
    use dynvm::host::{Log, LogSource};

    /// A log that panics at the first line of a VM, for a while.
    #[derive(Default)]
    struct Panics(AtomicBool);
    impl Log for Panics {
        fn log(&self, _: LogSource<'_>, _: dynvm::abi::types::LogLevel, line: &[u8]) {
            assert!(line != b"_initialize" || !self.0.load(Ordering::Relaxed), "the host's");
        }
    }
    let (log, starts) = (Arc::new(Panics::default()), Rc::new(Cell::new(0)));
    let (mut parts, seen) = (parts(), starts.clone());
    parts.services.log = log.clone();
    let config = PluginConfig::named("p").failure_policy(FailurePolicy::Reload).configuration(in_headers(&["trap"]));
    let tracer: Box<dyn dynvm::call_trace::Tracer> = Box::new(move |event| {
        if matches!(event, Event::CallbackEnter { name: "proxy_on_configure", .. }) {
            seen.set(seen.get() + 1);
        }
    });
    let probe = probe(backend(), &[]);
    let builder = Plugin::builder(&probe, config).services(parts.services).tracer(tracer);
    let mut plugin = builder.backoff(ReloadBackoff::none()).start().unwrap();
    let (vm, root) = plugin.vm_for_new_stream();
    let id = vm.create_stream(root, Box::new(TestStream::default())).unwrap();
    vm.on_request_headers(id, 0, true);
    log.0.store(true, Ordering::Relaxed);
    assert!(plugin.vm_for_new_stream().0.has_failed(), "no replacement is created");
    log.0.store(false, Ordering::Relaxed);
    assert!(!plugin.vm_for_new_stream().0.has_failed());
    assert_eq!((starts.get(), plugin.stats().reload_failure), (2, 1), "each start was traced");
}

/// A VM whose plugin trapped has failed, even if the log panics at the news; that panic is the embedder's.
#[super::compiler]
#[test]
fn a_log_that_panics_at_a_failure() {
    use dynvm::host::{Log, LogSource};

    struct Panics;
    impl Log for Panics {
        fn log(&self, _: LogSource<'_>, level: dynvm::abi::types::LogLevel, _: &[u8]) {
            assert_ne!(level, dynvm::abi::types::LogLevel::Critical, "the host's");
        }
    }
    let mut parts = parts();
    parts.services.log = std::sync::Arc::new(Panics);
    let mut harness =
        Harness::with(parts, &probe(backend(), &[]), dynvm::VmConfig::default(), &in_headers(&["trap"])).map_err(|(e, _)| e).unwrap();
    let id = harness.stream(TestStream::default());
    let call = std::panic::AssertUnwindSafe(|| harness.vm.on_request_headers(id, 0, true));
    assert!(std::panic::catch_unwind(call).is_err(), "the log is called from the embedder's call");
    assert!(harness.vm.has_failed());
}

/// A trap in a start function is an error of the start.
#[super::compiler]
#[test]
fn a_trap_in_a_start_function() {
    let module = probe(backend(), &["START_TRAPS"]);
    let error = Vm::builder(&module).services(parts().services).build().map(|_| ()).unwrap_err();
    assert!(matches!(error, StartError::Failed { .. }), "{error}");
}
