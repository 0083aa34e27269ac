//! Counts and durations of callbacks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dynvm::abi::table::CallbackId;
use dynvm::host::{Clock, ManualClock};
use dynvm::observe::Observer;
use dynvm::{PluginConfig, Vm, VmConfig};

use crate::{BACKENDS, counts, kind, observed, plugin, services};
use harness::{Harness, TestStream, in_headers, parts, probe};

#[needs::wasm_clang]
#[test]
fn each_callback_is_counted_once() {
    for backend in BACKENDS {
        let observer = Observer::new();
        let mut harness = observed(&observer, &probe(backend, &[]), "");
        for _ in 0..3 {
            let id = harness.stream(TestStream::default());
            for _ in 0..5 {
                harness.vm.on_request_headers(id, 0, false);
            }
            harness.vm.delete_stream(id);
        }
        (0..7).for_each(|_| harness.vm.on_tick(harness.root));
        // The probe does not export these, so none of its code ran.
        assert_eq!(harness.vm.validate_configuration(harness.root), None);
        let id = harness.stream(TestStream::default());
        harness.vm.on_request_metadata(id, 1);
        let expected = [
            ("proxy_on_context_create", 1 + 4),
            ("proxy_on_vm_start", 1),
            ("proxy_on_configure", 1),
            ("proxy_on_tick", 7),
            ("proxy_on_done", 3),
            ("proxy_on_log", 3),
            ("proxy_on_delete", 3),
            ("proxy_on_request_headers", 15),
        ];
        assert_eq!(counts(&plugin(&observer, "probe", backend)), expected, "{backend:?}");
    }
}

#[needs::wasm_clang]
#[test]
fn times_agree_with_counts() {
    for backend in BACKENDS {
        let observer = Observer::new();
        let mut harness = observed(&observer, &probe(backend, &[]), "");
        let started = Instant::now();
        (0..1000).for_each(|_| harness.vm.on_tick(harness.root));
        let took = started.elapsed();
        let seen = plugin(&observer, "probe", backend);
        let tick = seen.callbacks.iter().find(|seen| seen.callback == CallbackId::proxy_on_tick).unwrap();
        assert_eq!(tick.time.count(), 1000);
        assert!(tick.time.sum() > Duration::ZERO && tick.time.sum() <= took, "{:?} of {took:?}", tick.time.sum());
        let buckets: Vec<_> = tick.time.cumulative().collect();
        assert_eq!(buckets.last(), Some(&(None, 1000)));
        assert!(buckets.is_sorted_by_key(|(_, count)| *count));
        // The sum is at least the number of samples times the lower bounds of their buckets.
        let mut least = Duration::ZERO;
        for pair in buckets.windows(2) {
            least += pair[0].0.unwrap() * (pair[1].1 - pair[0].1) as u32;
        }
        assert!(tick.time.sum() >= least, "{:?} is less than {least:?}", tick.time.sum());
    }
}

/// A slow clock, so that a callback that asks for the time is slow too.
struct SlowClock(ManualClock);

/// Longer than an ordinary callback takes on a busy machine.
const SLOW: Duration = Duration::from_millis(250);

impl Clock for SlowClock {
    fn realtime_ns(&self) -> u64 {
        std::thread::sleep(SLOW);
        self.0.realtime_ns()
    }

    fn monotonic_ns(&self) -> u64 {
        self.0.monotonic_ns()
    }
}

#[needs::wasm_clang]
#[test]
fn a_slow_callback_is_seen_to_be_slow() {
    for backend in BACKENDS {
        let observer = Observer::new();
        let mut services = services(&observer);
        services.clock = Arc::new(SlowClock(ManualClock::default()));
        let mut vm = Vm::builder(&probe(backend, &[])).services(services).build().unwrap();
        let script = in_headers(&["proxy_get_current_time_nanoseconds"]);
        let root = vm.start_plugin(PluginConfig::named("slow").configuration(script)).unwrap();
        let id = vm.create_stream(root, Box::new(TestStream::default())).unwrap();
        vm.on_request_headers(id, 0, true);
        for seen in plugin(&observer, "slow", backend).callbacks {
            if seen.callback == CallbackId::proxy_on_request_headers {
                assert!(seen.time.sum() >= SLOW && seen.time.quantile(0.5).unwrap() > SLOW / 2, "{seen:?}");
            } else {
                assert!(seen.time.sum() < SLOW, "{seen:?}");
            }
        }
    }
}

#[needs::wasm_clang]
#[test]
fn totals_survive_their_vm() {
    for backend in BACKENDS {
        let observer = Observer::new();
        let module = probe(backend, &[]);
        for round in 1..=3 {
            let mut harness = observed(&observer, &module, "");
            harness.vm.on_tick(harness.root);
            assert_eq!(plugin(&observer, "probe", backend).running, 1);
            drop(harness);
            let seen = plugin(&observer, "probe", backend);
            assert_eq!((seen.running, seen.failed, seen.starts.started), (0, 0, round));
            assert!(counts(&seen).contains(&("proxy_on_tick", round)), "{:?}", counts(&seen));
            let modules = observer.snapshot().modules;
            assert_eq!(
                (modules[0].vms_running, modules[0].vms_created, modules[0].vm_start.count()),
                (0, round, round)
            );
            assert!(modules[0].versions.is_empty(), "no VM has the module");
        }
    }
}

#[needs::wasm_clang]
#[test]
fn plugins_of_one_vm_are_counted_apart() {
    for backend in BACKENDS {
        let observer = Observer::new();
        let mut harness = observed(&observer, &probe(backend, &[]), "");
        let other = harness.vm.start_plugin(PluginConfig::named("other")).unwrap();
        harness.vm.on_tick(harness.root);
        harness.vm.on_tick(other);
        harness.vm.on_tick(other);
        assert!(counts(&plugin(&observer, "probe", backend)).contains(&("proxy_on_tick", 1)));
        assert!(counts(&plugin(&observer, "other", backend)).contains(&("proxy_on_tick", 2)));
        harness.vm.stop_plugin(other).unwrap();
        let seen = plugin(&observer, "other", backend);
        assert_eq!(seen.running, 0, "it is stopped");
        assert!(counts(&seen).contains(&("proxy_on_tick", 2)) && counts(&seen).contains(&("proxy_on_delete", 1)));
        assert_eq!(plugin(&observer, "probe", backend).running, 1);
        let modules = observer.snapshot().modules;
        assert_eq!((modules[0].vms_running, modules[0].vms_created), (1, 1), "one VM for both");
    }
}

#[needs::wasm_clang]
#[test]
fn memory_and_versions_of_modules() {
    for backend in BACKENDS {
        let observer = Observer::new();
        let module = probe(backend, &[]);
        let rigs = [observed(&observer, &module, ""), observed(&observer, &module, "")];
        let seen = observer.snapshot().modules.remove(0);
        assert_eq!((seen.module.as_str(), seen.backend), (module.name(), kind(backend)));
        let sizes: Option<u64> = rigs.iter().map(|harness| harness.vm.memory_size()).sum();
        assert_eq!(seen.memory, sizes);
        assert_eq!(seen.versions.len(), 1);
        assert_eq!((seen.versions[0].size, seen.versions[0].vms), (module.info().size as u64, 2));
        assert_eq!(seen.versions[0].abi_version, module.info().abi_version);
    }
}

#[needs::wasm_clang]
#[test]
fn memory_is_read_again_after_a_while() {
    let observer = Observer::new();
    let mut harness = observed(&observer, &probe(crate::Backend::Wasm, &[]), &in_headers(&["grow 1"]));
    let before = observer.snapshot().modules[0].memory.unwrap();
    for _ in 0..64 {
        let id = harness.stream(TestStream::default());
        harness.vm.on_request_headers(id, 0, true);
        harness.vm.delete_stream(id);
    }
    let after = observer.snapshot().modules[0].memory.unwrap();
    assert!(after > before, "{before} bytes before, {after} after");
    assert!(after <= harness.vm.memory_size().unwrap());
}

#[needs::wasm_clang]
#[test]
fn a_tracer_and_an_observer_get_along() {
    for backend in BACKENDS {
        let observer = Observer::new();
        let mut harness = observed(&observer, &probe(backend, &[]), "");
        let events = std::rc::Rc::new(std::cell::Cell::new(0));
        let sink = events.clone();
        harness.vm.set_tracer(Some(Box::new(move |_| sink.set(sink.get() + 1))));
        harness.vm.on_tick(harness.root);
        harness.vm.set_tracer(None);
        harness.vm.on_tick(harness.root);
        assert_eq!(events.get(), 3, "one callback: its begin, its message, its end");
        assert!(counts(&plugin(&observer, "probe", backend)).contains(&("proxy_on_tick", 2)));
    }
}

#[needs::wasm_clang]
#[test]
fn what_is_not_observed_is_not_counted() {
    assert!(dynvm::host::Services::default().observer.is_none(), "off by default");
    for backend in BACKENDS {
        let observer = Observer::new();
        let module = probe(backend, &[]);
        let mut off =
            Harness::with(parts(), &module, VmConfig::default(), "").unwrap_or_else(|(error, _)| panic!("{error}"));
        off.vm.on_tick(off.root);
        let seen = observer.snapshot();
        assert!(seen.modules.is_empty() && seen.plugins.is_empty());
        // Beside a VM that is observed.
        let mut on = observed(&observer, &module, "");
        on.vm.on_tick(on.root);
        off.vm.on_tick(off.root);
        assert!(counts(&plugin(&observer, "probe", backend)).contains(&("proxy_on_tick", 1)));
        assert_eq!(observer.snapshot().modules[0].vms_created, 1);
    }
}
