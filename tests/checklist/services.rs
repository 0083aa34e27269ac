//! Checklist 33, 34, 37-39, 48-53: properties, shared data, queues, metrics, timers, log, clock.

use std::time::Duration;

use dynvm::abi::types::LogLevel;
use dynvm::{PluginConfig, Vm, VmConfig};

use super::backend;
use harness::{Harness, TestStream, did, parts, probe, script};

/// Checklist 37, 53: messages keep their level; a number that is no level is refused.
#[super::compiler]
#[test]
fn logging() {
    let mut harness = Harness::new(backend(), &script("on_request_headers", &["proxy_log 0 a", "proxy_log 5 b", "proxy_log 6 c", "proxy_get_log_level"]));
    assert_eq!(
        harness.did(TestStream::default()),
        ["[Trace] a", "proxy_log = 0", "[Critical] b", "proxy_log = 0", "proxy_log = 2", "proxy_get_log_level = 0 0"]
    );
}

/// Checklist 53: messages below the wanted level are dropped.
#[super::compiler]
#[test]
fn the_wanted_level() {
    let mut parts = parts();
    let log = std::sync::Arc::new(dynvm::host::MemoryLog::with_level(LogLevel::Warn));
    parts.services.log = log.clone();
    let mut vm = Vm::builder(&probe(backend(), &[])).services(parts.services).build().unwrap();
    let root = vm.start_plugin(PluginConfig::named("p").configuration(script("on_tick", &["proxy_log 2 a", "proxy_log 3 b"]))).unwrap();
    vm.on_tick(root);
    assert_eq!(log.take(), [(LogLevel::Warn, "b".to_owned())]);
}

/// Checklist 33: the time comes from the host's clock.
#[super::compiler]
#[test]
fn the_clock() {
    let mut harness = Harness::new(backend(), &script("on_request_headers", &["proxy_get_current_time_nanoseconds"]));
    harness.clock.advance(Duration::from_nanos(42));
    assert_eq!(harness.did(TestStream::default()), ["proxy_get_current_time_nanoseconds = 0 1704067200000000042"]);
}

/// Checklist 52: the tick period belongs to the root, even if a stream sets it; 0 stops the ticks.
#[super::compiler]
#[test]
fn ticks() {
    let mut harness = Harness::new(backend(), &script("on_request_headers", &["proxy_set_tick_period_milliseconds 250", "proxy_set_tick_period_milliseconds 0"]));
    harness.did(TestStream::default());
    assert_eq!(*harness.timers.0.borrow(), [(1, Some(Duration::from_millis(250))), (1, None)]);
    harness.vm.on_tick(harness.root);
    assert_eq!(harness.log(), ["on_tick(1)"]);
}

/// Checklist 29, 30, 38, 39: statuses, paths and encodings of properties.
#[super::compiler]
#[test]
fn properties() {
    let mut stream = TestStream::default();
    stream.properties.insert(b"request\0size".to_vec(), 5i64.to_le_bytes().to_vec());
    let calls = [
        "proxy_get_property request%00size", "proxy_get_property request%00size%00", "proxy_get_property nope", "proxy_get_property not%00serializable",
        "proxy_get_property internal", "proxy_set_property a%00b value", "proxy_get_property a%00b", "proxy_get_property plugin_name",
        "proxy_get_property plugin_vm_id",
    ];
    let expected = [
        "proxy_get_property = 0 %05%00%00%00%00%00%00%00", "proxy_get_property = 0 %05%00%00%00%00%00%00%00", "proxy_get_property = 1",
        "proxy_get_property = 3", "proxy_get_property = 10", "proxy_set_property = 0", "proxy_get_property = 0 value",
        "proxy_get_property = 0 probe", "proxy_get_property = 0 null",
    ];
    assert_eq!(did(backend(), stream, &calls), expected);
}

/// Checklist 48: shared data with compare-and-swap.
#[super::compiler]
#[test]
fn shared_data() {
    let calls = [
        "proxy_get_shared_data k", "proxy_set_shared_data k one 77", "proxy_get_shared_data k", "proxy_set_shared_data k two cas",
        "proxy_set_shared_data k three cas", "proxy_set_shared_data k four 0", "proxy_get_shared_data k", "proxy_set_shared_data e null 0",
        "proxy_get_shared_data e",
    ];
    let expected = [
        "proxy_get_shared_data = 1", "proxy_set_shared_data = 0", "proxy_get_shared_data = 0 one", "proxy_set_shared_data = 0",
        "proxy_set_shared_data = 8", "proxy_set_shared_data = 0", "proxy_get_shared_data = 0 four", "proxy_set_shared_data = 0",
        "proxy_get_shared_data = 0 null",
    ];
    assert_eq!(did(backend(), TestStream::default(), &calls), expected);
}

/// Checklist 48: VMs with one vm_id share data; VMs with another vm_id do not see it.
#[super::compiler]
#[test]
fn shared_data_is_scoped_by_vm_id() {
    let module = probe(backend(), &[]);
    let first = parts();
    let services = first.services.clone();
    let mut writer = Harness::with(first, &module, VmConfig::with_id("a"), &script("on_request_headers", &["proxy_set_shared_data k v 0"]))
        .unwrap_or_else(|(error, _)| panic!("{error}"));
    writer.did(TestStream::default());
    for (id, expected) in [("a", "proxy_get_shared_data = 0 v"), ("b", "proxy_get_shared_data = 1")] {
        let mut other = parts();
        other.services.shared_data = services.shared_data.clone();
        let read = script("on_request_headers", &["proxy_get_shared_data k"]);
        let mut reader = Harness::with(other, &module, VmConfig::with_id(id), &read).unwrap_or_else(|(error, _)| panic!("{error}"));
        assert_eq!(reader.did(TestStream::default()), [expected]);
    }
}

/// Checklist 49, 50: queues within one VM; each element wakes the registrant.
#[super::compiler]
#[test]
fn queues() {
    let calls = [
        "proxy_register_shared_queue q", "proxy_dequeue_shared_queue queue", "proxy_enqueue_shared_queue queue one",
        "proxy_enqueue_shared_queue queue two", "proxy_register_shared_queue q", "proxy_resolve_shared_queue null q",
        "proxy_dequeue_shared_queue queue", "proxy_dequeue_shared_queue queue", "proxy_dequeue_shared_queue queue",
        "proxy_resolve_shared_queue null nope", "proxy_enqueue_shared_queue 999 x", "proxy_dequeue_shared_queue 999",
    ];
    let mut harness = Harness::new(backend(), &script("on_request_headers", &calls));
    let expected = [
        "proxy_register_shared_queue = 0 1", "proxy_dequeue_shared_queue = 7", "proxy_enqueue_shared_queue = 0",
        "proxy_enqueue_shared_queue = 0", "proxy_register_shared_queue = 0 1", "proxy_resolve_shared_queue = 0",
        "proxy_dequeue_shared_queue = 0 one", "proxy_dequeue_shared_queue = 0 two", "proxy_dequeue_shared_queue = 7",
        "proxy_resolve_shared_queue = 1", "proxy_enqueue_shared_queue = 1", "proxy_dequeue_shared_queue = 1",
    ];
    assert_eq!(harness.did(TestStream::default()), expected);
    assert_eq!(*harness.waker.0.lock().unwrap(), [(1, 1), (1, 1)]);
    harness.vm.on_queue_ready(harness.root, 1);
    assert_eq!(harness.log(), ["on_queue_ready(1 1)"]);
}

/// Checklist 49: queues across vm_ids.
#[super::compiler]
#[test]
fn queues_across_vm_ids() {
    let module = probe(backend(), &[]);
    let first = parts();
    let (services, waker) = (first.services.clone(), first.waker.clone());
    let mut consumer = Harness::with(first, &module, VmConfig::with_id("a"), &script("on_request_headers", &["proxy_register_shared_queue q"]))
        .unwrap_or_else(|(error, _)| panic!("{error}"));
    consumer.did(TestStream::default());
    let mut other = parts();
    other.services.shared_queues = services.shared_queues.clone();
    let send = ["proxy_resolve_shared_queue null q", "proxy_resolve_shared_queue a q", "proxy_enqueue_shared_queue queue x"];
    let mut producer = Harness::with(other, &module, VmConfig::with_id("b"), &script("on_request_headers", &send))
        .unwrap_or_else(|(error, _)| panic!("{error}"));
    assert_eq!(
        producer.did(TestStream::default()),
        ["proxy_resolve_shared_queue = 1", "proxy_resolve_shared_queue = 0", "proxy_enqueue_shared_queue = 0"]
    );
    assert_eq!(waker.0.lock().unwrap().len(), 1, "the consumer's loop was woken");
}

/// Checklist 51: metrics.
#[super::compiler]
#[test]
fn metrics() {
    let calls = [
        "proxy_define_metric 0 c", "proxy_define_metric 1 g", "proxy_define_metric 2 h", "proxy_define_metric 3 x", "proxy_define_metric 0 c",
        "proxy_increment_metric 4 5", "proxy_increment_metric 4 -1", "proxy_get_metric 4", "proxy_increment_metric 9 -3", "proxy_record_metric 9 8",
        "proxy_increment_metric 9 -3", "proxy_get_metric 9", "proxy_record_metric 14 100", "proxy_get_metric 14", "proxy_increment_metric 14 1",
        "proxy_get_metric 400", "proxy_record_metric 400 1", "proxy_increment_metric 400 1", "proxy_get_metric 0",
    ];
    let expected = [
        "0 4", "0 9", "0 14", "2", "0 4", "0", "2", "0 5", "0", "0", "0", "0 5", "0", "2", "2", "1", "1", "1", "1",
    ];
    let lines = did(backend(), TestStream::default(), &calls);
    let answers: Vec<&str> = lines.iter().map(|line| line.split(" = ").nth(1).unwrap()).collect();
    assert_eq!(answers, expected);
}

/// A panic of the host's does not unwind into the plugin, and not to the embedder: it fails the VM.
#[super::compiler]
#[test]
fn a_panic_of_the_host() {
    struct Panics;
    impl dynvm::host::Clock for Panics {
        fn realtime_ns(&self) -> u64 {
            panic!("the host's clock")
        }
        fn monotonic_ns(&self) -> u64 {
            panic!("the host's clock")
        }
    }
    let mut parts = parts();
    parts.services.clock = std::sync::Arc::new(Panics);
    let text = script("on_request_headers", &["proxy_get_current_time_nanoseconds"]);
    let mut harness = Harness::with(parts, &probe(backend(), &[]), VmConfig::default(), &text).map_err(|(e, _)| e).unwrap();
    let stream = TestStream::default();
    let asked = stream.asked.clone();
    let id = harness.stream(stream);
    harness.vm.on_request_headers(id, 0, true);
    let failure = harness.vm.failure().expect("the VM has failed");
    let expected = "the host panicked in proxy_get_current_time_nanoseconds";
    assert_eq!((failure.kind, &*failure.message), (dynvm::FailureKind::Host, expected));
    assert_eq!(*asked.borrow(), ["fail HttpRequest", "fail HttpResponse"]);
}
