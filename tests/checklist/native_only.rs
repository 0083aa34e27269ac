//! Native plugins only: crashes, private memory, the interposed C library. See `docs/differences.md`.

use dynvm::abi::types::FilterHeadersStatus;
use dynvm::{Vm, VmConfig};

use harness::{Backend, Harness, TestStream, compile, in_headers, loader, loader_with, parts, probe};

/// Only the low byte of a bool counts: Rust leaves the rest undefined.
#[test]
fn false_is_a_byte() {
    let error = Harness::with(parts(), &probe(Backend::Native, &["WIDE_FALSE"]), VmConfig::default(), "")
        .map(|_| ())
        .unwrap_err()
        .0;
    assert!(error.to_string().contains("returned false from `proxy_on_configure`"), "{error}");
}

/// Without guard and heap, plugins that do not crash still work.
#[test]
fn plain_loading() {
    let loader = loader_with(|options| {
        let mut native = dynvm::native::Options::default();
        native.contain_crashes = false;
        native.heap = false;
        options.native = Some(native);
    });
    let module = loader.load_file(compile::plugin(Backend::Native, "probe.c", &[])).unwrap();
    let mut harness = Harness::of(&module, VmConfig::default(), &in_headers(&["proxy_get_header_map_value 0 k"]));
    assert_eq!(harness.did(TestStream::with_headers([("k", "v")])), ["proxy_get_header_map_value = 0 v"]);
}

/// The system's loader opens the file itself: one image for the process, and so one VM at a time.
#[test]
fn the_systems_loader() {
    let loader = loader_with(|options| {
        options.native = Some(dynvm::native::Options::default().loading(dynvm::native::Loading::System));
    });
    let path = compile::plugin(Backend::Native, "probe.c", &["PLAIN"]);
    let module = loader.load_file(path).unwrap();
    let plugin = in_headers(&["proxy_get_header_map_value 0 k"]);
    for _ in 0..2 {
        let mut harness = Harness::of(&module, VmConfig::default(), &plugin);
        assert_eq!(harness.did(TestStream::with_headers([("k", "v")])), ["proxy_get_header_map_value = 0 v"]);
        let second = dynvm::Vm::builder(&module).build().map(|_| ()).unwrap_err().to_string();
        assert!(second.contains("one image of a plugin for the process"), "{second}");
    }
}

/// The plugin can free returned memory from the C library or from any of its allocators; a plugin without an exported
/// allocator gets memory that matches its `free`.
#[test]
fn memory_from_everywhere_is_freed() {
    let module = loader().load_file(compile::plugin(Backend::Native, "heap.c", &[])).unwrap();
    let mut harness = Harness::of(&module, VmConfig::default(), "");
    for _ in 0..100 {
        let id = harness.stream(TestStream::with_headers([("k", "value")]));
        harness.vm.on_request_headers(id, 1, true);
        harness.vm.delete_stream(id);
    }
    assert_eq!(harness.log().last().unwrap(), "value /usr", "{:?}", harness.vm.failure());
    assert!(!harness.vm.has_failed());
}

/// `abort` fails the VM, also from another function of the plugin; the process continues.
#[test]
fn abort_is_contained() {
    let module = loader().load_file(compile::plugin(Backend::Native, "heap.c", &["ABORTS"])).unwrap();
    for _ in 0..10 {
        let mut harness = Harness::of(&module, VmConfig::default(), "");
        let id = harness.stream(TestStream::default());
        harness.vm.on_request_headers(id, 1, true);
        let failure = harness.vm.failure().expect("the VM fails");
        assert_eq!(failure.kind, dynvm::FailureKind::Exit);
    }
}

/// A crash on a thread other than the main one, while VMs run on other threads.
#[test]
fn crashes_on_many_threads() {
    let module = probe(Backend::Native, &[]);
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let module = &module;
            scope.spawn(move || {
                for round in 0..25 {
                    let how = ["trap", "crash", "overflow"][(worker + round) % 3];
                    let mut failing = Harness::of(module, VmConfig::default(), &in_headers(&[how]));
                    let mut healthy = Harness::of(module, VmConfig::default(), "");
                    let id = failing.stream(TestStream::default());
                    failing.vm.on_request_headers(id, 0, true);
                    assert!(failing.vm.has_failed());
                    assert!(healthy.did(TestStream::default()).is_empty());
                    assert!(!healthy.vm.has_failed());
                }
            });
        }
    });
}

/// A null pointer where memory is expected is refused, not dereferenced.
#[test]
fn null_is_refused() {
    let calls = ["proxy_get_header_map_value 0 k"];
    assert_eq!(
        harness::did(Backend::Native, TestStream::with_headers([("k", "v")]), &calls),
        ["proxy_get_header_map_value = 0 v"]
    );
}

/// The plugin receives the host's table of hostcalls before any other call.
#[test]
fn the_host_table() {
    let module = loader().load_file(compile::plugin(Backend::Native, "table.c", &[])).unwrap();
    let mut harness = Harness::of(&module, VmConfig::default(), "");
    let id = harness.stream(TestStream::default());
    assert_eq!(harness.vm.on_request_headers(id, 0, true), FilterHeadersStatus::Continue);
    assert_eq!(harness.log(), ["the table is the one that was compiled for"]);
}

/// A module outlives its loader, and VMs outlive their module.
#[test]
fn lifetimes() {
    let mut vm = {
        let module = loader().load_file(compile::plugin(Backend::Native, "probe.c", &[])).unwrap();
        Vm::builder(&module).services(parts().services).build().unwrap()
    };
    assert!(vm.start_plugin(dynvm::PluginConfig::default()).is_ok());
}

/// A plugin that asks the C or C++ library for the time gets the host's time, except for processor time.
#[needs::cxx]
#[test]
fn the_clock() {
    let module = loader().load_file(compile::plugin(Backend::Native, "clock.cc", &[])).unwrap();
    let mut harness = Harness::of(&module, VmConfig::default(), "");
    harness.clock.advance(std::time::Duration::from_nanos(5_000_000_007));
    let id = harness.stream(TestStream::default());
    harness.vm.on_request_headers(id, 0, true);
    assert_eq!(
        harness.log(),
        [
            "clock_gettime 1704067205000000007 5000000007",
            "chrono 1704067205000000007 5000000007",
            "seconds 1704067205000000 1704067205",
            "processor 1 -1",
        ]
    );
}

/// A host that uses the system's clock gives the plugin the system's time.
#[needs::cxx]
#[test]
fn the_systems_clock() {
    let module = loader().load_file(compile::plugin(Backend::Native, "clock.cc", &[])).unwrap();
    let mut parts = parts();
    parts.services.clock = std::sync::Arc::new(dynvm::host::SystemClock);
    let mut harness = Harness::with(parts, &module, VmConfig::default(), "").map_err(|(error, _)| error).unwrap();
    let id = harness.stream(TestStream::default());
    let before = std::time::SystemTime::now();
    harness.vm.on_request_headers(id, 0, true);
    let after = std::time::SystemTime::now();
    let since = |time: std::time::SystemTime| time.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    for line in &harness.log()[..2] {
        let wall: u128 = line.split(' ').nth(1).unwrap().parse().unwrap();
        assert!((since(before)..=since(after)).contains(&wall), "{line}");
    }
}

/// Random bytes come from the host, in every way a plugin can ask the C library for them.
#[test]
fn randomness() {
    use dynvm::host::{Random, SeededRandom};
    let module = loader().load_file(compile::plugin(Backend::Native, "system.c", &[])).unwrap();
    let mut parts = parts();
    parts.services.random = std::sync::Arc::new(SeededRandom::new(7));
    let mut harness = Harness::with(parts, &module, VmConfig::default(), "").map_err(|(error, _)| error).unwrap();
    let id = harness.stream(TestStream::default());
    harness.vm.on_request_headers(id, 0, true);
    let expected = SeededRandom::new(7);
    let ways = ["getrandom", "getentropy", "syscall", "dlsym"].map(|way| {
        let mut bytes = [0; 8];
        expected.fill(&mut bytes);
        format!("{way} {:016x}", u64::from_le_bytes(bytes))
    });
    let log = harness.log();
    assert_eq!(log[..4], ways);
    // Other uses of these functions reach the system, and `dlsym` searches from the plugin's image.
    assert_eq!(log[4..6], ["getpid as ever", "a symbol of its own"]);
}

/// A failing source of randomness gives the errors of the C library.
#[test]
fn randomness_of_a_source_that_fails() {
    struct Nothing;
    impl dynvm::host::Random for Nothing {
        fn fill(&self, _: &mut [u8]) -> bool {
            false
        }
    }
    let module = loader().load_file(compile::plugin(Backend::Native, "system.c", &[])).unwrap();
    let mut parts = parts();
    parts.services.random = std::sync::Arc::new(Nothing);
    let mut harness = Harness::with(parts, &module, VmConfig::default(), "").map_err(|(error, _)| error).unwrap();
    let id = harness.stream(TestStream::default());
    harness.vm.on_request_headers(id, 0, true);
    assert_eq!(harness.log()[..4], ["getrandom failed", "getentropy failed", "syscall failed", "dlsym failed"]);
    assert!(!harness.vm.has_failed());
}

/// Environment variables of the VM come first, then those of the process.
#[test]
fn environment() {
    let module = loader().load_file(compile::plugin(Backend::Native, "system.c", &[])).unwrap();
    let mut config = VmConfig::default();
    // Every process has PATH.
    config.environment.insert("DYNVM_OF_THE_VM".to_owned(), "its value".to_owned());
    let mut harness = Harness::of(&module, config, "");
    let id = harness.stream(TestStream::default());
    harness.vm.on_request_headers(id, 0, true);
    let path = std::env::var("PATH").unwrap();
    assert_eq!(harness.log()[6..], ["its value".to_owned(), path.clone(), "unset".to_owned()]);

    let mut harness = Harness::of(&module, VmConfig::default(), "");
    let id = harness.stream(TestStream::default());
    harness.vm.on_request_headers(id, 0, true);
    assert_eq!(harness.log()[6..], ["unset".to_owned(), path, "unset".to_owned()]);
}
