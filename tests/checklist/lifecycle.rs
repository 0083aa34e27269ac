//! Checklist 1-13, 18, 31, 43: start, contexts, end.

use dynvm::abi::table::CallbackId;
use dynvm::{PluginConfig, RootDone, Vm, VmConfig};

use super::backend;
use harness::{Harness, TestStream, parts, probe, script};

/// Checklist 1, 3, 4, 6, 7: every callback of a stream's life, in order.
#[super::compiler]
#[test]
fn a_stream_from_start_to_end() {
    let mut harness = Harness::new(backend(), "");
    assert_eq!(harness.log(), ["_initialize", "main", "on_context_create(1 0)", "on_vm_start(1 0)", "on_configure(1 0)"]);
    let id = harness.stream(TestStream::default());
    harness.vm.on_request_headers(id, 3, false);
    harness.vm.on_request_body(id, 10, false);
    harness.vm.on_request_body(id, 20, true);
    harness.vm.on_request_trailers(id, 1);
    harness.vm.on_response_headers(id, 2, true);
    harness.vm.on_response_body(id, 0, true);
    harness.vm.on_response_trailers(id, 4);
    assert!(harness.vm.on_done(id));
    harness.vm.on_log(id);
    assert!(harness.vm.delete_stream(id).is_some());
    let expected = [
        "on_context_create(2 1)", "on_request_headers(2 3 0)", "on_request_body(2 10 0)", "on_request_body(2 20 1)",
        "on_request_trailers(2 1)", "on_response_headers(2 2 1)", "on_response_body(2 0 1)", "on_response_trailers(2 4)",
        "on_done(2)", "on_log(2)", "on_delete(2)",
    ];
    assert_eq!(harness.log(), expected);
}

/// Checklist 7: each final callback runs at most once, and none after on_delete.
#[super::compiler]
#[test]
fn final_callbacks_come_once() {
    let mut harness = Harness::new(backend(), "");
    let id = harness.stream(TestStream::default());
    harness.log();
    harness.vm.on_done(id);
    harness.vm.on_done(id);
    harness.vm.on_log(id);
    harness.vm.on_log(id);
    harness.vm.delete_stream(id);
    assert!(harness.vm.delete_stream(id).is_none());
    harness.vm.on_done(id);
    harness.vm.on_log(id);
    assert_eq!(harness.log(), ["on_done(2)", "on_log(2)", "on_delete(2)"]);
    // Deleting alone runs the final callbacks that have not run yet.
    let id = harness.stream(TestStream::default());
    harness.vm.delete_stream(id);
    assert_eq!(harness.log(), ["on_context_create(3 1)", "on_done(3)", "on_log(3)", "on_delete(3)"]);
}

/// Checklist 2: ids are unique among live contexts.
#[super::compiler]
#[test]
fn ids_are_unique_among_live_contexts() {
    let mut harness = Harness::new(backend(), "");
    let mut live = Vec::new();
    for round in 0..200 {
        let id = harness.stream(TestStream::default());
        assert!(id != harness.root && !live.contains(&id));
        live.push(id);
        if round % 3 == 0 {
            let gone = live.remove(live.len() / 2);
            harness.vm.delete_stream(gone);
        }
    }
}

/// Checklist 3: false from either start callback makes the plugin unusable, not the VM.
#[super::compiler]
#[test]
fn a_refused_start_is_an_error() {
    for callback in ["on_vm_start", "on_configure"] {
        let (error, _) = Harness::with(parts(), &probe(backend(), &[]), VmConfig::default(), &script(callback, &["return 0"]))
            .map(|_| ())
            .unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("returned false from `proxy_{callback}`")), "{text}");
    }
    let parts = parts();
    let mut vm = Vm::builder(&probe(backend(), &[])).services(parts.services).build().unwrap();
    let refusing = PluginConfig::named("a").configuration(script("on_configure", &["return 0"]));
    assert!(vm.start_plugin(refusing).is_err());
    assert!(vm.start_plugin(PluginConfig::named("b")).is_ok(), "another plugin may still run in this VM");
}

/// Checklist 3, 38: several plugins share a VM, and each reads its own root id.
#[super::compiler]
#[test]
fn several_plugins_in_one_vm() {
    let mut harness = Harness::new(backend(), "");
    let config = PluginConfig::named("second").root_id("other").configuration("on_tick|proxy_get_property plugin_root_id\n");
    let second = harness.vm.start_plugin(config).unwrap();
    assert_ne!(second, harness.root);
    harness.log();
    harness.vm.on_tick(second);
    assert_eq!(harness.log(), [format!("on_tick({second})"), "proxy_get_property = 0 other".to_owned()]);
    let stream = harness.vm.create_stream(second, Box::new(TestStream::default())).unwrap();
    assert_eq!(harness.log(), [format!("on_context_create({stream} {second})")]);
}

/// Checklist 5, 38: the root id is readable while the root context is created, with or without a NUL at the end of the
/// path.
#[super::compiler]
#[test]
fn the_root_id_is_readable_from_the_first_callback() {
    let calls = script("on_context_create", &["proxy_get_property plugin_root_id", "proxy_get_property plugin_root_id%00"]);
    let parts = parts();
    let log = parts.log.clone();
    let mut vm = Vm::builder(&probe(backend(), &[])).services(parts.services).build().unwrap();
    log.take();
    vm.start_plugin(PluginConfig::named("p").root_id("r1").configuration(calls)).unwrap();
    let log: Vec<String> = log.take().into_iter().map(|(_, text)| text).collect();
    assert_eq!(log[1..3], ["proxy_get_property = 0 r1", "proxy_get_property = 0 r1"]);
}

/// Checklist 9, 10: a root that defers its end is deleted after its proxy_done, and only then.
#[super::compiler]
#[test]
fn a_root_may_ask_for_time() {
    let calls = script("on_done", &["return 0"]) + &script("on_tick", &["proxy_done", "proxy_done"]);
    let mut harness = Harness::new(backend(), &calls);
    harness.vm.on_tick(harness.root);
    assert!(harness.log().contains(&"proxy_done = 1".to_owned()), "NOT_FOUND while nobody waits");
    assert_eq!(harness.vm.stop_plugin(harness.root).unwrap(), RootDone::Pending);
    assert_eq!(harness.vm.stop_plugin(harness.root).unwrap(), RootDone::Pending);
    assert_eq!(harness.log(), ["on_done(1)"]);
    harness.vm.on_tick(harness.root);
    // The second proxy_done is NOT_FOUND; on_delete runs after the tick has returned.
    assert_eq!(harness.log(), ["on_tick(1)", "proxy_done = 0", "proxy_done = 1", "on_delete(1)"]);
    harness.vm.on_tick(harness.root);
    assert!(harness.log().is_empty(), "nothing after on_delete");
}

/// Checklist 9: a root that does not defer its end is deleted at once; roots get no on_log.
#[super::compiler]
#[test]
fn a_root_ends_at_once() {
    let mut harness = Harness::new(backend(), "");
    harness.log();
    assert_eq!(harness.vm.stop_plugin(harness.root).unwrap(), RootDone::Deleted);
    assert_eq!(harness.log(), ["on_done(1)", "on_delete(1)"]);
    assert!(harness.vm.stop_plugin(harness.root).is_err());
}

/// Checklist 9: proxy_done inside on_done itself.
#[super::compiler]
#[test]
fn done_inside_of_on_done() {
    let mut harness = Harness::new(backend(), &script("on_done", &["proxy_done", "return 0"]));
    harness.log();
    assert_eq!(harness.vm.stop_plugin(harness.root).unwrap(), RootDone::Deleted);
    assert_eq!(harness.log(), ["on_done(1)", "proxy_done = 0", "on_delete(1)"]);
}

/// Checklist 8: the result of a stream's on_done is reported to the embedder.
#[super::compiler]
#[test]
fn a_streams_on_done_is_reported() {
    let mut harness = Harness::new(backend(), "");
    let id = harness.stream(TestStream::default());
    assert!(harness.vm.on_done(id));
}

/// Checklist 12: a missing export has a default result and is reported as missing.
#[super::compiler]
#[test]
fn exports_are_known() {
    let harness = Harness::new(backend(), "");
    assert!(harness.vm.exports(CallbackId::proxy_on_request_headers));
    assert!(!harness.vm.exports(CallbackId::proxy_on_request_metadata));
}

/// Several VMs of one module, on one thread and on many, have separate statics.
#[super::compiler]
#[test]
fn vms_of_one_module_share_nothing() {
    let module = probe(backend(), &[]);
    let serve = |count: usize| {
        let mut vms: Vec<(Vm, dynvm::ContextId)> = (0..count)
            .map(|_| {
                let mut vm = Vm::builder(&module).services(parts().services).build().unwrap();
                let root = vm.start_plugin(PluginConfig::named("p")).unwrap();
                (vm, root)
            })
            .collect();
        for _ in 0..20 {
            for (vm, root) in &mut vms {
                let id = vm.create_stream(*root, Box::new(TestStream::default())).unwrap();
                vm.on_request_headers(id, 0, true);
                vm.delete_stream(id);
                assert!(!vm.has_failed());
            }
        }
    };
    serve(3);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| serve(2));
        }
    });
}
