//! The loader runs plugins that are part of the program.

use std::cell::RefCell;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use dynvm::abi::types::{LogLevel, MapType};
use dynvm::abi::version::AbiVersion;
use dynvm::host::{AbsentMap, Clock, HeaderMap, Headers, Log, LogSource, MemoryLog, Random, Services, Stream};
use dynvm::linked::{Linked, names, register};
use dynvm::{
    ArtifactKind, BackendKind, CallbackBudget, ContextId, FailureKind, Loader, Module, PinReason, PluginConfig,
    Protection, StartError, Vm, VmConfig,
};

/// A VM with a started plugin.
struct Running {
    vm: Vm,
    root: ContextId,
    log: Arc<MemoryLog>,
}

impl Running {
    fn start(module: &Module) -> Running {
        Running::try_start(module).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_start(module: &Module) -> Result<Running, StartError> {
        let log = Arc::new(MemoryLog::default());
        let mut services = Services::default();
        services.log = log.clone();
        let mut vm = Vm::builder(module).services(services).build()?;
        let root = vm.start_plugin(PluginConfig::named("linked"))?;
        // The loader's own messages.
        log.take();
        Ok(Running { vm, root, log })
    }

    /// Runs a stream with this path and returns what the plugin logged.
    fn stream(&mut self, path: &str) -> String {
        self.run(Box::new(Request(Headers::from([(":path", path)]))))
    }

    fn run(&mut self, stream: Box<dyn Stream>) -> String {
        let id = self.vm.create_stream(self.root, stream).unwrap();
        self.vm.on_request_headers(id, 1, true);
        self.vm.delete_stream(id);
        texts(&self.log).concat()
    }

    #[cfg(target_env = "gnu")]
    /// Ends the VM and returns what the plugin logged.
    fn end(self) -> Vec<String> {
        let log = self.log.clone();
        drop(self);
        texts(&log)
    }
}

fn texts(log: &MemoryLog) -> Vec<String> {
    log.take().into_iter().map(|(_, text)| text).collect()
}

/// A stream that has request headers.
struct Request(Headers);

impl Stream for Request {
    fn header_map(&self, map: MapType) -> Result<&dyn HeaderMap, AbsentMap> {
        if map == MapType::HttpRequestHeaders { Ok(&self.0) } else { Err(AbsentMap::Empty) }
    }
}

/// Slots belong to the whole program, and tests run at the same time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[needs::lld]
#[test]
fn a_module_describes_the_plugin() {
    let module = Module::linked(linked::shared());
    let info = module.info();
    assert_eq!((module.name(), module.backend(), info.kind), ("shared", BackendKind::Null, ArtifactKind::Linked));
    assert_eq!((info.abi_version, info.sha256().unwrap().len()), (AbiVersion::V0_2_1, 64));
    assert!(info.size > 10_000, "{}", info.size);
    assert!(module.exports(dynvm::abi::table::CallbackId::proxy_on_request_headers));
    assert_eq!(Module::linked(linked::slots()).info().abi_version, AbiVersion::V0_1_0);
}

/// The protections that a linked plugin lacks, with the beginnings of the reasons.
#[track_caller]
fn assert_lacks(plugin: &'static Linked, expected: &[(Protection, &str)]) {
    let module = Module::linked(plugin);
    let found: Vec<_> =
        module.info().limitations.iter().map(|lacking| (lacking.protection, lacking.reason.as_str())).collect();
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((protection, reason), (expected, start)) in found.iter().zip(expected) {
        assert!(protection == expected && reason.starts_with(start), "{found:?}");
    }
    assert_eq!(module.pinned(), [PinReason::PartOfProgram]);
}

#[needs::lld]
#[test]
fn modules_say_what_their_vms_lack() {
    use Protection::{Exits, Faults, Heap, Recursion, Statics};
    assert_lacks(linked::slots(), &[]);
    assert_lacks(linked::threads(), &[(Statics, "it has one slot")]);
    let shared = "its VMs share statics";
    let crashes = [Faults, Exits, Recursion, Heap].map(|protection| (protection, shared));
    assert_lacks(linked::shared(), &[&crashes[..], &[(Statics, "its VMs share them")]].concat());
}

#[cfg(target_env = "gnu")]
#[needs::lld]
#[needs::cxx]
#[test]
fn plugins_in_c_plus_plus_lack_a_heap() {
    let recursion = (Protection::Recursion, "recursion through the program's C++ library ends the process");
    assert_lacks(linked::cxx(), &[recursion, (Protection::Heap, "it allocates by the program's C++ library")]);
    assert_lacks(linked::c(), &[]);
}

#[needs::lld]
#[test]
fn registered_plugins_are_found_by_name() {
    let _alone = alone();
    let loader = Loader::new().unwrap();
    let error = loader.load_linked("slots").unwrap_err().to_string();
    assert!(error.starts_with("no linked plugin `slots`; linked: none;"), "{error}");
    for plugin in [linked::slots(), linked::shared(), linked::slots()] {
        register(plugin).unwrap();
    }
    assert_eq!(names(), ["shared", "slots"]);
    let mut vm = Running::start(&loader.load_linked("slots").unwrap());
    assert_eq!(vm.stream("/count"), "local 1 1 total 1");
    let error = loader.load_linked("slot").unwrap_err().to_string();
    assert!(error.starts_with("no linked plugin `slot`; linked: shared, slots;"), "{error}");

    let Linked { name, digest, size, abi_version, state_model, imports, slots } = *linked::shared();
    let other = Box::leak(Box::new(Linked { name, digest, size, abi_version, state_model, imports, slots }));
    let error = register(other).unwrap_err().to_string();
    assert!(error.contains("two linked plugins are named `shared`") && error.contains("Plugin::name"), "{error}");
}

#[needs::lld]
#[test]
fn many_vms_have_thread_locals_of_their_own() {
    let _alone = alone();
    let module = Module::linked(linked::shared());
    let count = |log: String| log.split(" total ").next().unwrap_or_default().to_owned();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut vms = [(); 4].map(|()| Running::start(&module));
                for round in 1..=200 {
                    for vm in &mut vms {
                        assert_eq!(count(vm.stream("/count")), format!("local {round} {round}"));
                    }
                }
                // Another VM takes the place of one that has ended.
                let [first, mut second, ..] = vms;
                drop(first);
                assert_eq!(count(Running::start(&module).stream("/count")), "local 1 1");
                assert_eq!(count(second.stream("/count")), "local 201 201");
            });
        }
    });
}

#[needs::lld]
#[test]
fn a_thousand_vms_on_a_thread_and_one_on_each_of_64() {
    let _alone = alone();
    let module = Module::linked(linked::shared());
    let run = |vms: &mut [Running]| {
        for round in 1..=3 {
            for vm in &mut *vms {
                let logged = vm.stream("/count");
                assert!(logged.starts_with(&format!("local {round} {round} ")), "{logged}");
            }
        }
    };
    run(&mut (0..1000).map(|_| Running::start(&module)).collect::<Vec<_>>());
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| run(&mut [Running::start(&module)]));
        }
    });
}

/// A stream that counts, whose headers are read after something else is done.
struct After<F>(F, Request);

impl<F: Fn() + 'static> Stream for After<F> {
    fn header_map(&self, map: MapType) -> Result<&dyn HeaderMap, AbsentMap> {
        (self.0)();
        self.1.header_map(map)
    }
}

/// Counts in a VM, and does something else in its hostcall.
fn count_after(vm: &mut Running, work: impl Fn() + 'static) -> String {
    vm.run(Box::new(After(work, Request(Headers::from([(":path", "/count")])))))
}

#[needs::lld]
#[test]
fn a_vm_may_run_inside_of_a_hostcall_of_another() {
    let _alone = alone();
    let module = Module::linked(linked::shared());
    let mut outer = Running::start(&module);
    for _ in 0..2 {
        outer.stream("/count");
    }
    let inner = RefCell::new(Running::start(&module));
    let logged = count_after(&mut outer, move || {
        let logged = inner.borrow_mut().stream("/count");
        assert!(logged.starts_with("local 1 1 "), "{logged}");
    });
    assert!(logged.starts_with("local 3 3 "), "{logged}");
}

#[needs::lld]
#[test]
fn a_vm_may_run_two_hostcalls_deep_with_another_plugin_between() {
    let _alone = alone();
    let module = Module::linked(linked::shared());
    let mut outer = Running::start(&module);
    let between = Rc::new(RefCell::new(Running::start(&Module::linked(linked::slots()))));
    let inner = Rc::new(RefCell::new(Running::start(&module)));
    let idle = Rc::new(RefCell::new(Some(Running::start(&module))));
    // The VM whose variables the inner one replaces ends before it could have them back.
    idle.borrow_mut().as_mut().unwrap().stream("/count");
    let in_between = {
        let (between, inner, idle) = (between.clone(), inner.clone(), idle.clone());
        move || {
            let (inner, idle) = (inner.clone(), idle.clone());
            count_after(&mut between.borrow_mut(), move || {
                let idle = idle.clone();
                let logged = count_after(&mut inner.borrow_mut(), move || drop(idle.take()));
                assert!(logged.starts_with("local "), "{logged}");
            });
        }
    };
    in_between();
    assert!(idle.borrow().is_none());
    let logged = count_after(&mut outer, in_between);
    assert!(logged.starts_with("local 1 1 "), "{logged}");
    assert!(inner.borrow_mut().stream("/count").starts_with("local 3 3 "));
    assert!(outer.stream("/count").starts_with("local 2 2 "));
}

#[needs::lld]
#[test]
fn a_slot_has_one_vm_and_begins_anew() {
    let _alone = alone();
    let module = Module::linked(linked::slots());
    for _ in 0..3 {
        let (mut first, mut second) = (Running::start(&module), Running::start(&module));
        for round in 1..=3 {
            for vm in [&mut first, &mut second] {
                assert_eq!(vm.stream("/count"), format!("local {round} {round} total {round}"));
            }
        }
        let Err(StartError::Image { module: name, message }) = Running::try_start(&module).map(drop) else { panic!() };
        assert_eq!(name, "slots");
        for words in ["its slots, 2, are all in use", "`.slots(3)`", "`--slots 3`", "PerThread", "`--share-statics`"] {
            assert!(message.contains(words), "{message}");
        }
    }
}

#[needs::lld]
#[test]
fn a_slot_is_kept_by_threads() {
    let _alone = alone();
    let module = Module::linked(linked::threads());
    assert_eq!(Running::start(&module).stream("/thread"), "local 0 in a thread");
    assert_eq!(Running::start(&module).stream("/count"), "local 1 1 total 1", "the thread has ended");
    assert_eq!(Running::start(&module).stream("/forever"), "started");
    assert!(Running::try_start(&module).is_err());
}

#[needs::lld]
#[test]
fn a_crash_fails_the_vm_of_a_slot() {
    let _alone = alone();
    let module = Module::linked(linked::slots());
    let mut other = Running::start(&module);
    for (path, kind, message) in
        [("/abort", FailureKind::Exit, "the plugin aborted"), ("/fault", FailureKind::Trap, "SIGSEGV at instruction")]
    {
        for round in 0..3 {
            let mut vm = Running::start(&module);
            assert_eq!(vm.stream("/count"), "local 1 1 total 1", "after {round} crashes");
            vm.stream(path);
            let failure = vm.vm.failure().expect("it has failed");
            assert_eq!(failure.kind, kind);
            assert!(failure.message.starts_with(message) && failure.message.contains("\n   0: 0x"), "{failure}");
        }
    }
    assert_eq!(other.stream("/count"), "local 1 1 total 1");
}

#[needs::lld]
#[test]
fn a_slot_has_a_heap_with_a_limit() {
    let _alone = alone();
    let start = |module: &Module| {
        let mut config = VmConfig::default();
        config.memory_limit = Some(64 << 20);
        let mut vm = Vm::builder(module).config(config).build()?;
        let root = vm.start_plugin(PluginConfig::named("linked"))?;
        Ok::<_, StartError>(Running { vm, root, log: Arc::default() })
    };
    let mut vm = start(&Module::linked(linked::slots())).unwrap();
    assert!(vm.vm.memory_size().is_some_and(|size| size > 0));
    vm.stream("/grow");
    let failure = vm.vm.failure().expect("it has failed");
    assert_eq!((failure.kind, failure.message.starts_with("the plugin needs more memory")), (FailureKind::Limit, true));

    let error = start(&Module::linked(linked::shared())).err().expect("it is refused").to_string();
    assert!(error.contains("the program's heap") && error.contains("`.slots(..)`"), "{error}");
}

/// A service that is not the system's.
struct Fixed;

impl Clock for Fixed {
    fn realtime_ns(&self) -> u64 {
        1_000_000_000_000
    }

    fn monotonic_ns(&self) -> u64 {
        5
    }
}

impl Random for Fixed {
    fn fill(&self, bytes: &mut [u8]) -> bool {
        bytes.fill(7);
        true
    }
}

#[needs::lld]
#[test]
fn the_hosts_services_answer_for_the_c_library() {
    let _alone = alone();
    for plugin in [linked::slots(), linked::shared()] {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let log = Arc::new(MemoryLog::default());
            let mut services = Services::default();
            services.log = log.clone();
            services.clock = Arc::new(Fixed);
            services.random = Arc::new(Fixed);
            let mut config = VmConfig::default();
            config.environment.insert("DYNVM_LINKED_TEST".to_owned(), "of the VM".to_owned());
            let mut vm = Vm::builder(&Module::linked(plugin)).config(config).services(services).build().unwrap();
            let root = vm.start_plugin(PluginConfig::named("linked")).unwrap();
            log.take();
            let mut vm = Running { vm, root, log };
            assert_eq!(vm.stream("/time"), "1000 s");
            assert_eq!(vm.stream("/environment"), "of the VM");
            assert_eq!(vm.stream("/print"), "printedas an error");
            // The seed is the thread's in Rust, and VMs have thread-local variables of their own.
            seen.push(vm.stream("/random"));
        }
        assert_eq!(seen[0], seen[1]);
    }
}

#[cfg(target_env = "gnu")]
#[needs::lld]
#[needs::cc]
#[test]
fn c_constructors_and_destructors_run_for_each_vm() {
    let _alone = alone();
    let module = Module::linked(linked::c());
    for _ in 0..3 {
        let mut vms = [(); 2].map(|()| Running::start(&module));
        for round in 1..=3 {
            for vm in &mut vms {
                let expected = format!("abc local {} total {} zeroed {round} items 2", 100 + round, 10 + round);
                assert_eq!(vm.stream("/"), expected);
            }
        }
        for vm in vms {
            assert_eq!(vm.end(), ["atexit", "destructor"]);
        }
    }
}

#[cfg(target_env = "gnu")]
#[needs::lld]
#[needs::cxx]
#[test]
fn cxx_exceptions_are_caught_and_variables_destroyed() {
    let _alone = alone();
    let module = Module::linked(linked::cxx());
    for _ in 0..2 {
        let mut vms = [(); 2].map(|()| Running::start(&module));
        for round in 1..=3 {
            for vm in &mut vms {
                assert_eq!(vm.stream("/"), format!("thrown twice x{} {round} 25", "y".repeat(round)));
            }
        }
        for vm in vms {
            assert_eq!(vm.end(), ["end of the thread-local variable", "end of the static variable"]);
        }
    }
}

#[cfg(target_env = "gnu")]
#[needs::lld]
#[needs::cxx]
#[test]
fn a_thousand_vms_with_statics_in_turn_and_64_at_once() {
    let _alone = alone();
    let module = Module::linked(linked::cxx());
    let run = |vm: Result<Running, StartError>| {
        let mut vm = vm.unwrap_or_else(|error| panic!("{error}"));
        for round in 1..=3 {
            assert_eq!(vm.stream("/"), format!("thrown twice x{} {round} 25", "y".repeat(round)));
        }
    };
    (0..1000).for_each(|_| run(Running::try_start(&module)));
    let all = std::sync::Barrier::new(64);
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                let vm = Running::try_start(&module);
                all.wait();
                run(vm);
            });
        }
    });
    let rust = Module::linked(linked::slots());
    for _ in 0..1000 {
        assert_eq!(Running::start(&rust).stream("/count"), "local 1 1 total 1");
    }
}

/// By option of cargo, as `./dev check` runs this file, the loader has no more than linked plugins need.
#[test]
fn neither_wasmtime_nor_the_image_loader_is_needed() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "tree",
        "--offline",
        "--locked",
        "-p",
        "dynvm",
        "--no-default-features",
        "--features",
        "null",
        "-e",
        "normal",
    ]);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let tree = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && tree.contains("dynvm-heap "), "{output:?}");
    for dependency in ["wasmtime ", "dynvm-image ", "libloading ", "object "] {
        assert!(!tree.contains(dependency), "{dependency} is in\n{tree}");
    }
}

#[needs::lld]
#[test]
fn a_caught_panic_changes_nothing() {
    let _alone = alone();
    let mut vm = Running::start(&Module::linked(linked::shared()));
    let logged = vm.stream("/panic");
    assert!(logged.ends_with("caught at depth 0"), "{logged}");
    assert!(!vm.vm.has_failed() && vm.stream("/count").starts_with("local 1 "));
}

/// A log that panics once, when it is told to.
#[cfg(target_env = "gnu")]
#[derive(Default)]
struct Panics(std::sync::atomic::AtomicBool);

#[cfg(target_env = "gnu")]
impl Log for Panics {
    fn log(&self, _: LogSource<'_>, _: LogLevel, _: &[u8]) {
        assert!(!self.0.swap(false, std::sync::atomic::Ordering::Relaxed), "the host's");
    }
}

#[cfg(target_env = "gnu")]
#[needs::lld]
#[needs::cc]
#[test]
fn a_panic_of_the_host_fails_the_vm() {
    let _alone = alone();
    let log = Arc::new(Panics::default());
    let (mut vm, root) = with_log(&Module::linked(linked::c()), log.clone());
    let stream = vm.create_stream(root, Box::new(Request(Headers::default()))).unwrap();
    log.0.store(true, std::sync::atomic::Ordering::Relaxed);
    vm.on_request_headers(stream, 1, true);
    let failure = vm.failure().expect("it has failed");
    assert_eq!((failure.kind, &*failure.message), (dynvm::FailureKind::Host, "the host panicked in proxy_log"));
}

#[needs::lld]
#[test]
fn an_overrun_is_reported_and_stops_nothing() {
    /// A stream whose headers take until the log tells of an overrun.
    struct Slow(Arc<MemoryLog>, Arc<Mutex<Vec<String>>>, Request);

    impl Stream for Slow {
        fn header_map(&self, map: MapType) -> Result<&dyn HeaderMap, AbsentMap> {
            let mut seen = self.1.lock().unwrap();
            while !seen.iter().any(|text| text.contains("its budget is 5 ms")) {
                thread::sleep(Duration::from_millis(1));
                seen.extend(texts(&self.0));
            }
            self.2.header_map(map)
        }
    }

    let _alone = alone();
    let log = Arc::new(MemoryLog::default());
    let mut services = Services::default();
    services.log = log.clone();
    let config = VmConfig::default().callback_budget(CallbackBudget::fail(Duration::from_millis(5)));
    let mut vm = Vm::builder(&Module::linked(linked::shared())).config(config).services(services).build().unwrap();
    let root = vm.start_plugin(PluginConfig::named("linked")).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let slow = Slow(log.clone(), seen.clone(), Request(Headers::from([(":path", "/count")])));
    let stream = vm.create_stream(root, Box::new(slow)).unwrap();
    vm.on_request_headers(stream, 1, true);
    assert!(seen.lock().unwrap().concat().contains("the plugin has been in proxy_on_request_headers for"));
    assert!(!vm.has_failed() && texts(&log).concat().contains("local 1 1 "));
}

struct Stderr;

impl Log for Stderr {
    fn log(&self, _: LogSource<'_>, level: LogLevel, message: &[u8]) {
        eprintln!("{level:?}: {}", String::from_utf8_lossy(message));
    }
}

#[needs::lld]
#[test]
fn a_panic_out_of_a_callback_ends_the_program_with_a_message() {
    const ABORT: &str = "DYNVM_LINKED_ABORT";
    if std::env::var_os(ABORT).is_some() {
        let (mut vm, root) = with_log(&Module::linked(linked::shared()), Arc::new(Stderr));
        let stream = vm.create_stream(root, Box::new(Request(Headers::from([(":path", "/abort")])))).unwrap();
        vm.on_request_headers(stream, 1, true);
        unreachable!();
    }
    let mut program = needs::this_program!();
    program.args(["--exact", "--nocapture", "a_panic_out_of_a_callback_ends_the_program_with_a_message"]);
    let output = program.env(ABORT, "").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(6), "{stderr}");
    assert!(
        stderr.contains("Critical: the plugin calls abort; its VM is not contained, so the process ends"),
        "{stderr}"
    );
}

/// A VM with a started plugin and this log.
fn with_log(module: &Module, log: Arc<dyn Log>) -> (Vm, ContextId) {
    let mut services = Services::default();
    services.log = log;
    let mut vm = Vm::builder(module).services(services).build().unwrap();
    let root = vm.start_plugin(PluginConfig::named("linked")).unwrap();
    (vm, root)
}
