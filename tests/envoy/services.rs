//! Ticks, queues, metrics, and shared data.

use serde_json::json;

use crate::envoy::{By, Envoy, Setup, backends, filter, plugin, programs};
use crate::plugins::{artifact, probe};
use crate::traffic::{Upstream, get};

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn ticks_come_to_idle_workers() {
    let upstream = Upstream::start();
    let mut setup = Setup::new().cluster("upstream", upstream.port).worker_cluster().workers(2);
    for by in By::MODULE {
        let block = plugin(by.name(), &probe(by), "tick=50", &json!({}));
        setup = setup.listener(by.name(), vec![filter(by, by.name(), &block)]);
    }
    let mut envoy = Envoy::start(&programs()[0], &setup);
    for by in By::MODULE {
        // Configured for the trial, on the main thread, and on two workers; ticks on three.
        envoy.wait("starts on idle workers", |envoy| {
            envoy.messages(by.name()).iter().filter(|message| message.starts_with("configured")).count() == 4
        });
        envoy.wait("ticks", |envoy| envoy.messages(by.name()).iter().filter(|message| *message == "tick").count() > 20);
    }
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn ticks_come_to_the_main_thread_without_the_cluster() {
    let upstream = Upstream::start();
    for program in programs() {
        let block = plugin("native", &probe(By::Native), "tick=50", &json!({}));
        let setup = Setup::new().cluster("upstream", upstream.port);
        let setup = setup.listener("main", vec![filter(By::Native, "native", &block)]);
        let mut envoy = Envoy::start(&program, &setup);
        envoy.wait("ticks", |envoy| envoy.messages("native").iter().filter(|message| *message == "tick").count() > 5);
    }
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn queues_reach_the_thread_that_registered_them() {
    let upstream = Upstream::start();
    let mut setup = Setup::new().cluster("upstream", upstream.port).worker_cluster().workers(4);
    for by in By::MODULE {
        let block = plugin(by.name(), &probe(by), "queue", &json!({}));
        setup = setup.listener(by.name(), vec![filter(by, by.name(), &block)]);
    }
    let mut envoy = Envoy::start(&programs()[0], &setup);
    for by in By::MODULE {
        for number in 0..20 {
            get(envoy.port(by.name()), "/a", &[("x-do", &format!("enqueue=element-{number}"))]);
        }
        envoy.wait("delivers all elements", |envoy| {
            let mut elements = envoy.messages(by.name());
            elements.retain(|message| message.starts_with("queue: element-"));
            elements.len() == 20
        });
    }
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn the_example_with_a_queue_and_a_tick() {
    let upstream = Upstream::start();
    let mut setup = Setup::new().cluster("upstream", upstream.port).worker_cluster();
    for by in backends(&programs()[0]) {
        let block = plugin(by.name(), &artifact("queue-tick", by), "200", &json!({}));
        setup = setup.listener(by.name(), vec![filter(by, by.name(), &block)]);
    }
    let mut envoy = Envoy::start(&programs()[0], &setup);
    for by in envoy.backends.clone() {
        for _ in 0..3 {
            get(envoy.port(by.name()), "/a", &[]);
        }
        envoy.wait("has totals", |envoy| envoy.messages(by.name()).iter().any(|message| message.contains("200")));
    }
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn metrics_are_envoys() {
    let upstream = Upstream::start();
    for program in programs() {
        let block = plugin("native", &probe(By::Native), "", &json!({}));
        let setup = Setup::new().cluster("upstream", upstream.port).workers(2);
        let setup = setup.listener("main", vec![filter(By::Native, "native", &block)]);
        let mut envoy = Envoy::start(&program, &setup);
        let port = envoy.port("main");
        let counts: Vec<_> = (0..3).map(|_| get(port, "/a", &[("x-do", "metric=probe.counter")])).collect();
        assert_eq!(counts[2].header("x-metric"), Some("6"), "{:?}", counts[2]);
        get(port, "/a", &[("x-do", "metric=probe.late")]);
        for expected in [
            "probe_counter{} 6",
            "probe_gauge{} 4",
            "late_counter{metric=\"probe.late\"} 2",
            // Envoy merges histograms every five seconds.
            "probe_histogram_count{} 4",
            "probe_histogram_sum{} 20",
        ] {
            envoy.wait(&format!("has {expected}"), |envoy| {
                // A change may wait for the next request.
                get(port, "/a", &[]);
                envoy.admin("/stats/prometheus").contains(expected)
            });
        }
    }
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn offsets_that_metrics_do_not_take_are_refused() {
    let upstream = Upstream::start();
    for program in programs() {
        let mut setup = Setup::new().cluster("upstream", upstream.port);
        for by in backends(&program) {
            setup =
                setup.listener(by.name(), vec![filter(by, by.name(), &plugin(by.name(), &probe(by), "", &json!({})))]);
        }
        let envoy = Envoy::start(&program, &setup);
        for by in envoy.backends.clone() {
            for (offset, counter) in [("2", "Ok(())"), ("0", "Err(BadArgument)"), ("-1", "Err(BadArgument)")] {
                let answer = get(envoy.port(by.name()), "/a", &[("x-do", &format!("increment={offset}"))]);
                let expected = format!("{counter} Ok(()) Err(BadArgument)");
                assert_eq!(answer.header("x-increment"), Some(expected.as_str()), "{by:?} {offset}");
            }
        }
    }
}

#[needs::envoy]
#[needs::wasm_rust]
#[test]
fn shared_data_belong_to_all_workers_and_listeners_of_a_vm_id() {
    let upstream = Upstream::start();
    let mut setup = Setup::new().cluster("upstream", upstream.port).workers(4);
    for by in By::MODULE {
        let block = plugin(by.name(), &probe(by), "", &json!({"vm_config": {"vm_id": "both"}}));
        setup = setup.listener(by.name(), vec![filter(by, by.name(), &block)]);
    }
    let envoy = Envoy::start(&programs()[0], &setup);
    let mut last = None;
    for _ in 0..10 {
        for by in By::MODULE {
            last = get(envoy.port(by.name()), "/a", &[("x-do", "shared=key")]).header("x-shared").map(str::to_owned);
        }
    }
    assert_eq!(last.as_deref(), Some("20"));
}
