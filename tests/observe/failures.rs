//! VMs and plugins that fail, refuse to start, or are replaced.

use std::time::Duration;

use dynvm::observe::{Observer, PluginStarts, Reloads};
use dynvm::wasm::CpuLimit;
use dynvm::{FailureKind, FailurePolicy, Module, Plugin, PluginConfig, ReloadBackoff, Vm, VmConfig};

use crate::{BACKENDS, observed, plugin, services};
use harness::{Backend, Harness, TestStream, compile, in_headers, loader_with, probe, script};

/// Fails a VM with a script, and returns the counts.
fn failing(backend: Backend, module: &Module, calls: &[&str]) -> Vec<(FailureKind, u64)> {
    let observer = Observer::new();
    let mut harness = observed(&observer, module, &in_headers(calls));
    let id = harness.stream(TestStream::with_headers([("k", "v")]));
    harness.vm.on_request_headers(id, 0, true);
    // A failed VM runs no code, and fails once.
    harness.vm.on_request_headers(id, 0, true);
    assert_eq!(
        harness.vm.failure().map(|failure| failure.kind),
        plugin(&observer, "probe", backend).failures.first().map(|f| f.0)
    );
    let (seen, module) = (plugin(&observer, "probe", backend), observer.snapshot().modules.remove(0));
    assert_eq!((seen.running, seen.failed, module.vms_running, module.vms_failed), (0, 1, 0, 1));
    let headers = seen.callbacks.iter().filter(|seen| seen.callback.describe().name == "proxy_on_request_headers");
    assert_eq!(headers.map(|seen| seen.time.count()).sum::<u64>(), 1, "the callback that failed counts");
    drop(harness);
    let after = plugin(&observer, "probe", backend);
    assert_eq!((after.failed, &after.failures), (0, &seen.failures), "counted for good");
    after.failures
}

#[needs::wasm_clang]
#[test]
fn failures_are_counted_by_kind() {
    let reads = "proxy_get_header_map_value 0 k";
    for backend in BACKENDS {
        assert_eq!(failing(backend, &probe(backend, &[]), &["trap"]), [(FailureKind::Trap, 1)]);
        let restricted = probe(backend, &["ALLOCATOR_CALLS"]);
        assert_eq!(failing(backend, &restricted, &[reads, reads, reads]), [(FailureKind::Restricted, 1)]);
    }
    let limited = loader_with(|options| options.wasm.cpu_limit = CpuLimit::Fuel(1_000_000));
    let limited = limited.load_file(compile::plugin(Backend::Wasm, "probe.c", &[])).unwrap();
    assert_eq!(failing(Backend::Wasm, &limited, &["spin"]), [(FailureKind::Limit, 1)]);
    let aborts = harness::loader().load_file(compile::plugin(Backend::Native, "heap.c", &["ABORTS"])).unwrap();
    assert_eq!(failing(Backend::Native, &aborts, &[]), [(FailureKind::Exit, 1)]);
}

#[test]
fn kinds_have_names_of_their_own() {
    let names: std::collections::BTreeSet<_> = FailureKind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), FailureKind::ALL.len());
}

/// Of two plugins in a VM, the failure counts for the one in whose callback it occurred.
#[needs::wasm_clang]
#[test]
fn a_failure_is_the_failing_plugins() {
    for backend in BACKENDS {
        let observer = Observer::new();
        // The probe has one script for both plugins: that of the plugin started last.
        let mut harness = observed(&observer, &probe(backend, &[]), "");
        let config = PluginConfig::named("second").configuration(script("on_tick", &["trap"]));
        let second = harness.vm.start_plugin(config).unwrap();
        harness.vm.on_tick(second);
        assert!(harness.vm.has_failed());
        assert!(plugin(&observer, "probe", backend).failures.is_empty());
        assert_eq!(plugin(&observer, "second", backend).failures, [(FailureKind::Trap, 1)]);
        assert_eq!(plugin(&observer, "probe", backend).failed, 1, "but neither is served any more");
    }
}

#[needs::wasm_clang]
#[test]
fn starts_that_fail() {
    for backend in BACKENDS {
        let observer = Observer::new();
        let traps = probe(backend, &["START_TRAPS"]);
        assert!(Vm::builder(&traps).services(services(&observer)).build().is_err());
        let seen = observer.snapshot().modules.remove(0);
        assert_eq!((seen.vms_created, seen.vm_start_errors, seen.vm_start.count()), (1, 1, 0));
        assert_eq!((seen.vms_running, seen.vms_failed), (0, 0), "it is gone");
        assert_eq!(plugin(&observer, "", backend).failures, [(FailureKind::Trap, 1)], "of no plugin");

        let observer = Observer::new();
        let mut vm = Vm::builder(&probe(backend, &[])).services(services(&observer)).build().unwrap();
        let start = |vm: &mut Vm, calls: &[&str]| {
            vm.start_plugin(PluginConfig::named("p").configuration(script("on_configure", calls))).is_ok()
        };
        assert!(start(&mut vm, &[]) && start(&mut vm, &[]));
        assert!(!start(&mut vm, &["return 0"]));
        assert!(!start(&mut vm, &["trap"]));
        assert!(!start(&mut vm, &[]), "the VM has failed: this is no start");
        let mut expected = PluginStarts::default();
        (expected.started, expected.refused, expected.failed) = (2, 1, 1);
        let seen = plugin(&observer, "p", backend);
        assert_eq!(seen.starts, expected);
        assert_eq!((seen.running, seen.failed), (0, 2), "those that were not started are gone");
    }
}

/// A VM whose crash ends the process says so: in the log, in its metrics, and when asked.
#[test]
fn containment_that_is_off_is_reported() {
    for contained in [true, false] {
        let observer = Observer::new();
        let loader = loader_with(|options| options.native.as_mut().unwrap().contain_crashes = contained);
        let module = loader.load_file(compile::plugin(Backend::Native, "heap.c", &[])).unwrap();
        let mut parts = harness::parts();
        parts.services.observer = Some(observer.clone());
        let harness = Harness::with(parts, &module, VmConfig::default(), "").map_err(|(error, _)| error).unwrap();
        assert_eq!(harness.vm.uncontained().is_none(), contained);
        let warned =
            harness.log().iter().any(|line| line.contains("a crash of the plugin ends the process: by option"));
        assert_ne!(warned, contained);
        assert_eq!(observer.snapshot().modules[0].vms_uncontained, u64::from(!contained));
    }
}

#[needs::wasm_clang]
#[test]
fn replacements_are_counted() {
    for backend in BACKENDS {
        let observer = Observer::new();
        let config = PluginConfig::named("p").failure_policy(FailurePolicy::Reload);
        let config = config.configuration(in_headers(&["trap_at 2"]));
        let backoff = ReloadBackoff::new(Duration::from_secs(600), Duration::from_secs(600));
        let started =
            Plugin::builder(&probe(backend, &[]), config).services(services(&observer)).backoff(backoff).start();
        let mut running = started.unwrap();
        for _ in 0..8 {
            let (vm, root) = running.vm_for_new_stream();
            let id = vm.create_stream(root, Box::new(TestStream::default())).unwrap();
            vm.on_request_headers(id, 0, true);
            vm.delete_stream(id);
        }
        // Streams 1, 2 (fails), and six that find the backoff running.
        let mut expected = Reloads::default();
        expected.backoff = 6;
        let seen = plugin(&observer, "p", backend);
        assert_eq!((seen.reloads, &seen.failures), (expected, &vec![(FailureKind::Trap, 1)]));
        let stats = running.stats();
        assert_eq!((stats.reload_success, stats.reload_failure, stats.reload_backoff, stats.failures), (0, 0, 6, 1));
        assert_eq!(observer.snapshot().modules[0].vms_created, 1);
    }
}
