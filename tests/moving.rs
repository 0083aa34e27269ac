//! VMs that move between threads, and those that have to stay.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use dynvm::abi::types::MapType;
use dynvm::host::{AbsentMap, HeaderMap, Headers, MemoryLog, MovableServices, Services, Stream};
use dynvm::{
    CallbackBudget, ContextId, FailureKind, Module, MovableVm, PinReason, PluginConfig, Vm, VmBuilder, VmConfig,
};
use harness::{BACKENDS, Backend, compile, loader, loader_with};

/// A stream that may move.
struct Request(Headers);

impl Stream for Request {
    fn header_map(&self, _: MapType) -> Result<&dyn HeaderMap, AbsentMap> {
        Ok(&self.0)
    }

    fn header_map_mut(&mut self, _: MapType) -> Result<&mut dyn HeaderMap, AbsentMap> {
        Ok(&mut self.0)
    }
}

fn request(headers: &[(&str, &str)]) -> Box<Request> {
    let mut map = Headers::default();
    headers.iter().for_each(|(name, value)| map.add(name.as_bytes(), value.as_bytes()));
    Box::new(Request(map))
}

/// A VM with a started plugin, its root and its log.
fn start(module: &Module, config: VmConfig, configuration: &str) -> (Vm, ContextId, Arc<MemoryLog>) {
    let log = Arc::new(MemoryLog::default());
    let mut services = Services::default();
    services.log = log.clone();
    let builder = Vm::builder(module).config(config).services(services);
    let mut vm = builder.movable(MovableServices::default()).build().unwrap();
    let root = vm.start_plugin(PluginConfig::named("moving").configuration(configuration)).unwrap();
    (vm, root, log)
}

/// The count that the plugin gives to a stream.
fn count(vm: &Vm, stream: ContextId) -> Option<String> {
    let stream = vm.stream::<Request>(stream)?;
    Some(String::from_utf8_lossy(stream.0.get(b"count")?).into_owned())
}

/// Serves one stream.
fn serve(vm: &mut Vm, root: ContextId, headers: &[(&str, &str)]) -> Option<String> {
    let stream = vm.create_movable_stream(root, request(headers)).unwrap();
    vm.on_request_headers(stream, headers.len(), true);
    let count = count(vm, stream);
    vm.delete_stream(stream);
    count
}

/// Runs a function with a VM on a new thread.
fn on_thread<R: Send>(vm: MovableVm, run: impl FnOnce(&mut Vm) -> R + Send) -> (MovableVm, R) {
    let run = move || {
        let mut vm = vm.enter();
        let returned = run(&mut vm);
        (vm.into_movable().unwrap(), returned)
    };
    thread::scope(|scope| scope.spawn(run).join().unwrap())
}

fn moving(backend: Backend, defines: &[&str]) -> Module {
    loader().load_file(compile::plugin(backend, "moving.c", defines)).unwrap()
}

fn cpp(defines: &[&str]) -> Module {
    loader().load_file(compile::plugin(Backend::Native, "crash.cc", defines)).unwrap()
}

/// Statics, thread-local variables and thread-specific data go with the VM; so do streams.
#[needs::wasm_clang]
#[test]
fn state_moves_along() {
    for &backend in BACKENDS {
        let module = moving(backend, &[]);
        assert_eq!(module.pinned(), []);
        let (mut vm, root, _) = start(&module, VmConfig::default(), "");
        let mut expected = 0;
        for _ in 0..8 {
            expected += 1;
            assert_eq!(serve(&mut vm, root, &[]), Some(expected.to_string()), "{backend:?}, here");
            let stream = vm.create_movable_stream(root, request(&[])).unwrap();
            let (moved, _) = on_thread(vm.into_movable().unwrap(), |vm| {
                vm.on_request_headers(stream, 0, true);
            });
            expected += 1;
            let (moved, seen) = on_thread(moved, |vm| {
                let seen = count(vm, stream);
                vm.delete_stream(stream);
                seen
            });
            assert_eq!(seen, Some(expected.to_string()), "{backend:?}, elsewhere");
            vm = moved.enter();
        }
        assert!(!vm.has_failed(), "{:?}", vm.failure());
    }
}

/// A Rust plugin is on one thread, as far as it knows, and its destructors run when the VM ends, wherever that is.
#[test]
fn rust_plugins_move() {
    let module = loader().load_file(harness::sdk::crash("unwind")).unwrap();
    assert_eq!(module.pinned(), []);
    let (vm, root, log) = start(&module, VmConfig::default(), "thread");
    let mut vm = vm.into_movable().unwrap();
    for _ in 0..4 {
        (vm, _) = on_thread(vm, |vm| serve(vm, root, &[]));
    }
    thread::spawn(|| drop(vm)).join().unwrap();
    let log = harness::lines(&log);
    let (streams, rest): (Vec<_>, Vec<_>) = log.into_iter().partition(|line| line.starts_with("stream "));
    let expected: Vec<_> = (1..=4).map(|stream| format!("stream {stream}, on the same thread: true")).collect();
    assert_eq!(streams, expected);
    assert_eq!(rest.last().unwrap(), "a thread-local variable was dropped");
}

/// Values of thread-specific data have destructors too.
#[needs::cc]
#[test]
fn a_vm_ends_on_another_thread() {
    let module = moving(Backend::Native, &[]);
    let (mut vm, root, log) = start(&module, VmConfig::default(), "");
    serve(&mut vm, root, &[]);
    let vm = vm.into_movable().unwrap();
    assert_eq!(harness::lines(&log), [""; 0]);
    thread::spawn(move || drop(vm)).join().unwrap();
    assert_eq!(harness::lines(&log), ["a value was destroyed"]);
}

/// A crash on a thread that the VM did not start on fails this VM, and no other. Nothing of it is left on the thread: the C++ library has no
/// exception under way.
#[needs::cxx]
#[test]
#[cfg(target_os = "linux")]
fn crashes_on_a_second_thread() {
    let (shared, linked_statically) = (cpp(&[]), cpp(&["STATIC"]));
    let ways = ["throw", "segv", "abort", "overflow", "segv in catch", "noexcept"];
    for (module, how) in
        ways.map(|how| (&shared, how)).into_iter().chain([(&linked_statically, "overflow with strings")])
    {
        assert_eq!(module.pinned(), []);
        let (vm, root, _) = start(module, VmConfig::default(), "");
        let (other, other_root, log) = start(module, VmConfig::default(), "");
        let (vm, other) = (vm.into_movable().unwrap(), other.into_movable().unwrap());
        let run = move || {
            let (mut vm, mut other) = (vm.enter(), other.enter());
            serve(&mut vm, root, &[("x-crash", "caught")]);
            assert!(!vm.has_failed(), "{:?}", vm.failure());
            serve(&mut vm, root, &[("x-crash", how)]);
            for question in ["uncaught", "current exception"] {
                serve(&mut other, other_root, &[("x-crash", question)]);
            }
            (vm.failure(), other.into_movable().unwrap())
        };
        let (failure, other) = thread::spawn(run).join().unwrap();
        assert!(failure.is_some(), "{how}");
        let answers = ["a static that was constructed", "uncaught exceptions: 0", "no exception is handled"];
        assert_eq!(harness::lines(&log), answers, "{how}");
        let mut other = other.enter();
        serve(&mut other, other_root, &[("x-crash", "caught")]);
        assert!(!other.has_failed(), "{how}: {:?}", other.failure());
    }
}

/// The failed VM, too, can be handed on.
#[needs::wasm_clang]
#[test]
fn a_failed_vm_moves() {
    for &backend in BACKENDS {
        let (vm, root, _) = start(&moving(backend, &[]), VmConfig::default(), "");
        let (vm, _) = on_thread(vm.into_movable().unwrap(), |vm| serve(vm, root, &[("do", "trap")]));
        assert!(vm.has_failed());
        let failure = vm.enter().failure().unwrap();
        assert_eq!(failure.kind, FailureKind::Trap);
    }
}

/// The watchdog interrupts the thread that the VM is on.
#[needs::cxx]
#[test]
#[cfg(target_os = "linux")]
fn a_budget_holds_on_a_second_thread() {
    let mut config = VmConfig::default();
    config.callback_budget = Some(CallbackBudget::fail(Duration::from_millis(50)));
    let (vm, root, _) = start(&cpp(&[]), config, "");
    let (vm, _) = on_thread(vm.into_movable().unwrap(), |vm| serve(vm, root, &[("x-crash", "spin")]));
    assert_eq!(vm.enter().failure().unwrap().kind, FailureKind::Limit);
}

/// Threads that take VMs from one pool, as those of a runtime that steals work.
#[needs::wasm_clang]
#[test]
fn a_pool_of_vms() {
    const VMS: usize = 64;
    const THREADS: usize = 8;
    const TURNS: usize = 400;
    for &backend in BACKENDS {
        let module = moving(backend, &[]);
        let vm = |_| {
            let (vm, root, _) = start(&module, VmConfig::default(), "");
            (vm.into_movable().unwrap(), root, 0, None)
        };
        let pool: Mutex<Vec<_>> = Mutex::new((0..VMS).map(vm).collect());
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let pool = &pool;
                scope.spawn(move || {
                    let mut random = thread as u64 + 1;
                    for _ in 0..TURNS {
                        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                        let (vm, root, mut served, held) = {
                            let mut pool = pool.lock().unwrap();
                            let at = (random >> 33) as usize % pool.len();
                            pool.swap_remove(at)
                        };
                        let mut vm = vm.enter();
                        // One stream stays open until the VM's next turn.
                        if let Some(stream) = held {
                            assert_eq!(count(&vm, stream), Some(served.to_string()));
                            vm.delete_stream(stream);
                        }
                        for _ in 0..random >> 40 & 3 {
                            served += 1;
                            assert_eq!(serve(&mut vm, root, &[]), Some(served.to_string()));
                        }
                        served += 1;
                        let stream = vm.create_movable_stream(root, request(&[])).unwrap();
                        vm.on_request_headers(stream, 0, true);
                        pool.lock().unwrap().push((vm.into_movable().unwrap(), root, served, Some(stream)));
                    }
                });
            }
        });
        let pool = pool.into_inner().unwrap();
        assert_eq!(pool.len(), VMS);
        let served: u32 = pool.iter().map(|(_, _, served, _)| served).sum();
        assert!(served as usize >= THREADS * TURNS);
        assert!(pool.iter().all(|(vm, root, ..)| !vm.has_failed() && vm.stream_count(*root) <= 1));
    }
}

/// The reasons of a module, and that its VM has them.
#[track_caller]
fn stays(module: &Module, expected: &[PinReason]) {
    assert_eq!(module.pinned(), expected);
    let (vm, ..) = start(module, VmConfig::default(), "");
    let pinned = vm.into_movable().unwrap_err();
    assert_eq!(pinned.reasons, expected);
    assert!(pinned.to_string().ends_with(&expected[0].to_string()), "{pinned}");
    assert!(!pinned.vm.has_failed());
}

#[needs::cc]
#[test]
fn plugins_that_stay() {
    stays(&moving(Backend::Native, &["STATIC_TLS"]), &[PinReason::StaticTls]);
    stays(&moving(Backend::Native, &["OPENS_LIBRARIES"]), &[PinReason::Function("dlopen".to_owned())]);
    let threads = loader().load_file(compile::plugin(Backend::Native, "threads.c", &["_GNU_SOURCE"])).unwrap();
    assert_eq!(threads.pinned(), [PinReason::Threads("pthread_create".to_owned())]);
    let system = loader_with(|options| {
        options.native = Some(dynvm::native::Options::default().loading(dynvm::native::Loading::System));
    });
    let path = compile::plugin(Backend::Native, "moving.c", &["PLAIN"]);
    stays(&system.load_file(path).unwrap(), &[PinReason::SystemLoader]);
    assert_eq!(harness::probe(Backend::Null, &[]).pinned(), [PinReason::PartOfProgram]);
    let (path, _dir) = with_library();
    stays(&loader().load_file(path).unwrap(), &[PinReason::Library("libhelp.so".to_owned())]);
}

/// A plugin that needs a library.
fn with_library() -> (PathBuf, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (library, plugin) = (dir.path().join("libhelp.so"), dir.path().join("plugin.so"));
    let build = |source: &str, output: &PathBuf, arguments: &[&str]| {
        let from = output.with_extension("c");
        std::fs::write(&from, source).unwrap();
        let mut cc = compile::cc();
        cc.args(["-shared", "-fPIC", "-Wl,-rpath,$ORIGIN", "-L"]).arg(dir.path()).arg(&from).args(arguments);
        assert!(cc.arg("-o").arg(output).status().unwrap().success());
    };
    build("int help(void) { return 1; }", &library, &["-Wl,-soname,libhelp.so"]);
    let source =
        "int help(void); void proxy_abi_version_0_2_1(void) {} int proxy_on_vm_start(int a, int b) { return help(); }";
    build(source, &plugin, &["-lhelp"]);
    (plugin, dir)
}

/// A VM that has set its thread's locale stays until it has put that back.
#[needs::cc]
#[test]
fn a_locale_is_of_a_thread() {
    let (mut vm, root, _) = start(&moving(Backend::Native, &[]), VmConfig::default(), "");
    serve(&mut vm, root, &[("do", "locale")]);
    let pinned = vm.into_movable().unwrap_err();
    assert_eq!(pinned.reasons, [PinReason::Locale]);
    let mut vm = pinned.vm;
    serve(&mut vm, root, &[("do", "restore")]);
    assert_eq!(vm.pinned(), []);
}

/// What the embedder has bound to the thread.
#[needs::wasm_clang]
#[test]
fn services_streams_and_tracers_stay() {
    for &backend in BACKENDS {
        let module = moving(backend, &[]);
        let build = |builder: VmBuilder<'_>| builder.build().unwrap();
        assert_eq!(build(Vm::builder(&module)).pinned(), [PinReason::Services]);
        let (mut vm, root, _) = start(&module, VmConfig::default(), "");
        let kept = vm.services().clone();
        assert_eq!(vm.pinned(), [PinReason::Services]);
        drop(kept);
        let stream = vm.create_stream(root, request(&[])).unwrap();
        let movable = vm.create_movable_stream(root, request(&[])).unwrap();
        vm.set_tracer(Some(Box::new(|_| ())));
        let pinned = vm.into_movable().unwrap_err();
        assert_eq!(pinned.reasons, [PinReason::Streams(1), PinReason::Tracer]);
        let mut vm = pinned.vm;
        vm.set_tracer(None);
        assert!(vm.delete_stream(stream).is_some());
        let mut vm = vm.into_movable().unwrap().enter();
        let returned: Box<dyn std::any::Any> = vm.delete_stream(movable).unwrap();
        assert!(returned.downcast::<Request>().is_ok());
    }
}
