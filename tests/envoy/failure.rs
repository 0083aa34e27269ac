//! A plugin that fails ends its VM, and no more.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::envoy::{By, Envoy, Setup, backends, filter, plugin, programs};
use crate::plugins::probe;
use crate::traffic::{Client, Upstream, get};

const CRASH: &[(&str, &str)] = &[("x-do", "crash")];
const FINE: &[(&str, &str)] = &[];

/// Starts an Envoy with a listener for each backend and policy, named `BY-POLICY`.
fn start(program: &std::path::Path, upstream: &Upstream, workers: u32) -> Envoy {
    let mut setup = Setup::new().cluster("upstream", upstream.port).workers(workers);
    for by in backends(program) {
        for policy in ["FAIL_CLOSED", "FAIL_OPEN", "FAIL_RELOAD"] {
            let name = format!("{}-{policy}", by.name());
            let backoff = json!({"backoff": {"base_interval": "0.05s", "max_interval": "0.05s"}});
            let more = json!({"failure_policy": policy, "reload_config": backoff});
            let block = plugin(&name, &probe(by), "", &more);
            setup = setup.listener(&name, vec![filter(by, &name, &block)]);
        }
    }
    Envoy::start(program, &setup)
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn policies_are_those_of_envoys_wasm_filter() {
    for program in programs() {
        let upstream = Upstream::start();
        let mut envoy = start(&program, &upstream, 1);
        for (policy, requests, expected) in [
            ("FAIL_CLOSED", [FINE, CRASH, FINE, FINE, CRASH], [200, 503, 503, 503, 503]),
            ("FAIL_OPEN", [FINE, CRASH, FINE, FINE, CRASH], [200, 503, 200, 200, 200]),
            ("FAIL_RELOAD", [FINE, CRASH, FINE, CRASH, FINE], [200, 503, 200, 503, 200]),
        ] {
            for by in envoy.backends.clone() {
                let port = envoy.port(&format!("{}-{policy}", by.name()));
                let statuses = requests.map(|headers| {
                    // Longer than the delay before a VM is replaced.
                    std::thread::sleep(Duration::from_millis(120));
                    get(port, "/a", headers).status()
                });
                assert_eq!(statuses, expected, "{policy} by {by:?}");
            }
        }
        assert!(envoy.is_running());
    }
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn a_failure_in_a_response_fails_the_stream() {
    let upstream = Upstream::start();
    let envoy = start(&programs()[0], &upstream, 1);
    for by in envoy.backends.clone() {
        let port = envoy.port(&format!("{}-FAIL_RELOAD", by.name()));
        assert_eq!(get(port, "/a", &[("x-do", "crash-response")]).status(), 503, "{by:?}");
    }
}

/// Traffic on several connections until told to end; returns statuses and their numbers.
fn traffic<R>(port: u16, connections: usize, during: impl FnOnce() -> R) -> (R, u64, u64, u64) {
    let (end, fine, failed, broken) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let result = std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut client = None;
                while !end.load(Ordering::Relaxed) {
                    let open = client.get_or_insert_with(|| Client::connect(port).unwrap());
                    match open.send("GET", "/a", &[], &[]).map(|answer| answer.status()) {
                        Ok(200) => fine.fetch_add(1, Ordering::Relaxed),
                        Ok(503) => failed.fetch_add(1, Ordering::Relaxed),
                        _ => {
                            client = None;
                            broken.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                }
            });
        }
        let result = during();
        end.store(true, Ordering::Relaxed);
        result
    });
    (result, fine.into_inner(), failed.into_inner(), broken.into_inner())
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn crashes_under_load_end_no_other_stream() {
    for workers in [1, 4] {
        let upstream = Upstream::start();
        let mut envoy = start(&programs()[0], &upstream, workers);
        for by in By::MODULE {
            let port = envoy.port(&format!("{}-FAIL_RELOAD", by.name()));
            let (crashes, fine, failed, broken) = traffic(port, 4, || {
                (0..10)
                    .map(|_| {
                        std::thread::sleep(Duration::from_millis(100));
                        get(port, "/a", CRASH).status()
                    })
                    .collect::<Vec<_>>()
            });
            assert!(crashes.iter().all(|status| *status == 503), "{crashes:?}");
            assert_eq!(broken, 0, "{by:?}: requests without an answer");
            assert!(fine > 100 && failed < fine / 2, "{by:?}: {fine} answered, {failed} failed with their VM");
            // Longer than the delay before a VM is replaced.
            std::thread::sleep(Duration::from_millis(120));
            assert_eq!(get(port, "/a", FINE).status(), 200);
        }
        assert!(envoy.is_running());
    }
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn a_crash_beside_v8_in_one_chain() {
    let upstream = Upstream::start();
    let more = json!({"failure_policy": "FAIL_RELOAD", "reload_config": {"backoff": {"base_interval": "0.01s"}}});
    let in_chain = |by: By| filter(by, by.name(), &plugin(by.name(), &probe(by), "", &more));
    for program in programs() {
        let chain = backends(&program).into_iter().map(in_chain).collect();
        let setup = Setup::new().cluster("upstream", upstream.port).listener("all", chain);
        let mut envoy = Envoy::start(&program, &setup);
        let port = envoy.port("all");
        for _ in 0..3 {
            assert_eq!(get(port, "/a", FINE).status(), 200);
            // The first in the chain fails: V8 in a request, the last one in a response.
            assert_eq!(get(port, "/a", CRASH).status(), 503);
            std::thread::sleep(Duration::from_millis(1200));
            assert_eq!(get(port, "/a", &[("x-do", "crash-response")]).status(), 503);
            std::thread::sleep(Duration::from_millis(1200));
        }
        assert!(envoy.is_running());
    }
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn a_callback_that_takes_too_long_fails_its_vm() {
    let upstream = Upstream::start();
    let mut setup = Setup::new().cluster("upstream", upstream.port);
    for by in By::MODULE {
        let more =
            json!({"dynvm": {"callback_budget": {"limit": "100ms", "action": "fail"}, "memory_limit": 67108864}});
        let block = plugin(by.name(), &probe(by), "", &more);
        setup = setup.listener(by.name(), vec![filter(by, by.name(), &block)]);
    }
    let mut envoy = Envoy::start(&programs()[0], &setup);
    for by in By::MODULE {
        let began = Instant::now();
        assert_eq!(get(envoy.port(by.name()), "/a", &[("x-do", "loop")]).status(), 503, "{by:?}");
        assert!(began.elapsed() < Duration::from_secs(10), "{by:?}: {:?}", began.elapsed());
    }
    assert!(envoy.is_running());
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn envoy_ends_as_it_should() {
    let upstream = Upstream::start();
    for program in programs() {
        let envoy = start(&program, &upstream, 2);
        for by in By::MODULE {
            for _ in 0..4 {
                get(envoy.port(&format!("{}-FAIL_RELOAD", by.name())), "/a", FINE);
            }
        }
        let status = envoy.stop();
        assert!(status.success(), "{status}");
    }
}
