//! Wasm only: limits, the cache, WASI, private linear memory. Checklist 29, 34, 53, 54.

use std::time::Duration;

use dynvm::wasm::CpuLimit;
use dynvm::{FailureKind, Module, VmConfig};

use harness::{Backend, Harness, TestStream, compile, did, in_headers, loader, loader_with};

fn probe_with(change: impl FnOnce(&mut dynvm::wasm::Options)) -> Module {
    loader_with(|options| change(&mut options.wasm)).load_file(compile::plugin(Backend::Wasm, "probe.c", &[])).unwrap()
}

fn failing(module: &Module, call: &str) -> dynvm::Failure {
    let mut harness = Harness::of(module, VmConfig::default(), &in_headers(&[call]));
    let id = harness.stream(TestStream::default());
    harness.vm.on_request_headers(id, 0, true);
    harness.vm.failure().expect("the VM fails")
}

/// Checklist 29, 34: an address outside the plugin's memory is refused.
#[needs::wasm_clang]
#[test]
fn invalid_addresses() {
    let calls = ["proxy_log 2 bad", "proxy_get_header_map_value 0 bad", "proxy_set_shared_data bad x 0"];
    let expected = ["proxy_log = 6", "proxy_get_header_map_value = 6", "proxy_set_shared_data = 6"];
    assert_eq!(did(Backend::Wasm, TestStream::with_headers([("k", "v")]), &calls), expected);
}

#[needs::wasm_clang]
#[test]
fn memory_limit() {
    let module = probe_with(|options| options.memory_limit = Some(4 << 20));
    assert_eq!(failing(&module, "grow 1000").kind, FailureKind::Limit);
    let mut harness = Harness::of(&module, VmConfig::default(), &in_headers(&["grow 1"]));
    assert!(harness.did(TestStream::default()).is_empty());
    assert!(!harness.vm.has_failed());
    assert!(harness.vm.memory_size().unwrap() <= 4 << 20);
    // The lower one of the loader's and the VM's limit applies.
    let mut config = VmConfig::default();
    config.memory_limit = Some(2 << 20);
    let mut harness = Harness::of(&module, config, &in_headers(&["grow 40"]));
    let id = harness.stream(TestStream::default());
    harness.vm.on_request_headers(id, 0, true);
    assert_eq!(harness.vm.failure().map(|failure| failure.kind), Some(FailureKind::Limit));
}

#[needs::wasm_clang]
#[test]
fn fuel() {
    let module = probe_with(|options| options.cpu_limit = CpuLimit::Fuel(1_000_000));
    let failure = failing(&module, "spin");
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Limit, "the callback used up its fuel"));
    // Each callback has a separate budget.
    let mut harness = Harness::of(&module, VmConfig::default(), "");
    for _ in 0..1000 {
        harness.vm.on_tick(harness.root);
    }
    assert!(!harness.vm.has_failed());
}

#[needs::wasm_clang]
#[test]
fn time() {
    let module = probe_with(|options| options.cpu_limit = CpuLimit::Time(Duration::from_millis(300)));
    let failure = failing(&module, "spin");
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Limit, "the callback ran longer than it may"));
}

#[needs::wasm_clang]
#[test]
fn pooled() {
    let module = probe_with(|options| {
        options.pooled_vms = Some(4);
        options.memory_limit = Some(16 << 20);
    });
    let mut rigs: Vec<Harness> = (0..4).map(|_| Harness::of(&module, VmConfig::default(), "")).collect();
    for harness in &mut rigs {
        assert!(harness.did(TestStream::default()).is_empty());
    }
    assert!(Harness::with(harness::parts(), &module, VmConfig::default(), "").is_err(), "no more than four");
    rigs.pop();
    Harness::of(&module, VmConfig::default(), "");
}

/// Compiled code is read from the cache; a damaged entry is compiled again.
#[needs::wasm_clang]
#[test]
fn cache() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cache");
    let load = || probe_with(|options| options.cache_dir = Some(path.clone()));
    let entries =
        || -> Vec<std::fs::DirEntry> { std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap()).collect() };
    load();
    let first = entries();
    assert_eq!(first.len(), 1, "one entry");
    let written = first[0].metadata().unwrap().modified().unwrap();
    let mut harness = Harness::of(&load(), VmConfig::default(), "");
    assert!(harness.did(TestStream::default()).is_empty());
    assert_eq!(entries()[0].metadata().unwrap().modified().unwrap(), written, "taken, not made again");
    // Writes a new file: the old entry is mapped, and mapped code must not change.
    std::fs::remove_file(first[0].path()).unwrap();
    std::fs::write(first[0].path(), b"not compiled code").unwrap();
    let mut harness = Harness::of(&load(), VmConfig::default(), "");
    assert!(harness.did(TestStream::default()).is_empty());
    // Another configuration is another entry.
    probe_with(|options| {
        options.cache_dir = Some(path.clone());
        options.cpu_limit = CpuLimit::Fuel(10);
    });
    assert_eq!(entries().len(), 2);
}

/// Checklist 53, 54, 59: WASI. The module is written by hand to fix the numbers.
#[test]
fn wasi() {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_unstable" "fd_close" (func $fd_close (param i32) (result i32)))
        (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\20\00\00\00\06\00\00\00\30\00\00\00\04\00\00\00")
        (data (i32.const 32) "hello ") (data (i32.const 48) "you\n")
        (func $digit (param i32)
            (i32.store8 (i32.const 300) (i32.add (i32.const 48) (i32.div_u (local.get 0) (i32.const 10))))
            (i32.store8 (i32.const 301) (i32.add (i32.const 48) (i32.rem_u (local.get 0) (i32.const 10))))
            (drop (call $log (i32.const 2) (i32.const 300) (i32.const 2))))
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_tick") (param i32)
            (call $digit (call $fd_write (i32.const 1) (i32.const 0) (i32.const 2) (i32.const 200)))
            (call $digit (i32.load (i32.const 200)))
            (call $digit (call $fd_write (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 200)))
            (call $digit (call $fd_write (i32.const 5) (i32.const 8) (i32.const 1) (i32.const 200)))
            (call $digit (call $random_get (i32.const 1000) (i32.const 65537)))
            (call $digit (call $random_get (i32.const 1000) (i32.const 8)))
            (call $digit (call $random_get (i32.const 65530) (i32.const 100)))
            (call $digit (call $clock (i32.const 0) (i64.const 0) (i32.const 400)))
            (call $digit (i64.eq (i64.load (i32.const 400)) (i64.const 1704067200000000000)))
            (call $digit (call $clock (i32.const 2) (i64.const 0) (i32.const 400)))
            (call $digit (call $environ_sizes (i32.const 400) (i32.const 404)))
            (call $digit (i32.load (i32.const 400)))
            (call $digit (i32.load (i32.const 404)))
            (call $digit (call $environ (i32.const 400) (i32.const 500)))
            (drop (call $log (i32.const 2) (i32.load (i32.const 400)) (i32.const 3)))
            (call $digit (call $args_sizes (i32.const 400) (i32.const 404)))
            (call $digit (i32.load (i32.const 400)))
            (call $digit (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 0)))
            (call $digit (call $fd_close (i32.const 1)))))"#;
    let module = loader().load_bytes("wasi.wat", text.as_bytes()).unwrap();
    let mut config = VmConfig::default();
    config.environment.insert("A".to_owned(), "b".to_owned());
    let mut harness = Harness::of(&module, config, "");
    harness.vm.on_tick(harness.root);
    let expected = [
        "hello you",
        "00",
        "10",
        "[Error] you",
        "00",
        "08",
        "28",
        "00",
        "21",
        "00",
        "01",
        "58",
        "00",
        "01",
        "04",
        "00",
        "A=b",
        "00",
        "00",
        "44",
        "52",
    ];
    assert_eq!(harness.log(), expected, "{:?}", harness.vm.failure());

    let mut config = VmConfig::default();
    config.capabilities = dynvm::CapabilityRestriction::only(["proxy_log", "proxy_on_tick"]);
    let mut harness = Harness::of(&module, config, "");
    harness.vm.on_tick(harness.root);
    assert_eq!(
        harness.log()[..2],
        ["[Error] the plugin called fd_write, which its capability restriction does not allow", "76"]
    );
}

/// Checklist 54: proc_exit fails the VM; a command that ends with proc_exit(0) has started successfully.
#[test]
fn proc_exit() {
    let text = |start: &str, tick: &str| {
        format!(
            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (func (export "proxy_abi_version_0_2_1")) (func (export "_start") {start}) (func (export "proxy_on_tick") (param i32) {tick}))"#
        )
    };
    let load = |text: String| loader().load_bytes("exit.wat", text.as_bytes()).unwrap();
    let mut harness =
        Harness::of(&load(text("(call $exit (i32.const 0))", "(call $exit (i32.const 3))")), VmConfig::default(), "");
    harness.vm.on_tick(harness.root);
    let failure = harness.vm.failure().unwrap();
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Exit, "the plugin called proc_exit(3)"));
    let module = load(text("(call $exit (i32.const 1))", ""));
    assert!(Harness::with(harness::parts(), &module, VmConfig::default(), "").is_err());
}
