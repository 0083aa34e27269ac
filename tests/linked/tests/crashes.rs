//! Crashes and overruns of linked plugins with slots: the VM fails, the program and the other slot go on, and the slot begins anew.
#![cfg(all(target_arch = "x86_64", target_env = "gnu"))]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dynvm::abi::types::MapType;
use dynvm::host::{AbsentMap, HeaderMap, Headers, MemoryLog, Services, Stream};
use dynvm::{CallbackBudget, ContextId, Failure, FailureKind, Module, PluginConfig, Vm, VmConfig};

/// A VM of the plugin, whose streams fail as their request says.
struct Running {
    vm: Vm,
    root: ContextId,
    log: Arc<MemoryLog>,
}

impl Running {
    fn start(module: &Module, config: VmConfig) -> Running {
        let log = Arc::new(MemoryLog::default());
        let mut services = Services::default();
        services.log = log.clone();
        let mut vm = Vm::builder(module).config(config).services(services).build().unwrap();
        let root = vm.start_plugin(PluginConfig::named("crashes")).unwrap();
        Running { vm, root, log }
    }

    fn stream(&mut self, how: &str) -> Option<Failure> {
        let request = Request(Headers::from([("x-crash", how)]));
        let stream = self.vm.create_stream(self.root, Box::new(request)).unwrap();
        self.vm.on_request_headers(stream, 1, true);
        self.vm.delete_stream(stream);
        self.vm.failure()
    }

    fn logged(&self, what: &str) -> bool {
        self.log.take().iter().any(|(_, text)| text.contains(what))
    }
}

struct Request(Headers);

impl Stream for Request {
    fn header_map(&self, map: MapType) -> Result<&dyn HeaderMap, AbsentMap> {
        (map == MapType::HttpRequestHeaders).then_some(&self.0 as &dyn HeaderMap).ok_or(AbsentMap::Empty)
    }

    fn header_map_mut(&mut self, map: MapType) -> Result<&mut dyn HeaderMap, AbsentMap> {
        (map == MapType::HttpRequestHeaders).then_some(&mut self.0 as &mut dyn HeaderMap).ok_or(AbsentMap::Empty)
    }
}

/// Slots belong to the whole program, and tests run at the same time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[needs::lld]
#[needs::cxx]
#[test]
fn cxx_crashes_fail_the_vm_of_a_slot() {
    use FailureKind::{Exit, Trap};
    let _alone = alone();
    let module = Module::linked(linked::crashes());
    let mut other = Running::start(&module, VmConfig::default());
    for (how, kind, message) in [
        // Demangled where the loader has the code for it.
        ("throw", Exit, "runtime_error"),
        ("noexcept", Exit, "C++ exception that nobody caught"),
        ("terminate", Exit, "C++ exception that nobody caught"),
        ("abort", Exit, "aborted"),
        ("exit", Exit, "exit(7)"),
        ("segv", Trap, "SIGSEGV"),
        ("segv in catch", Trap, "SIGSEGV"),
        ("memcpy", Trap, "SIGSEGV"),
        ("null call", Trap, "SIGSEGV"),
        ("fpe", Trap, "SIGFPE"),
        ("ill", Trap, "SIGILL"),
        ("overflow", Trap, "SIGSEGV"),
    ] {
        let failure = Running::start(&module, VmConfig::default()).stream(how);
        let failure = failure.unwrap_or_else(|| panic!("{how}: the VM runs"));
        assert_eq!(failure.kind, kind, "{how}: {failure}");
        assert!(failure.message.contains(message), "{how}: {message:?} is in {failure}");
        for (what, expected) in
            [("uncaught", "uncaught exceptions: 0"), ("current exception", "no exception is handled")]
        {
            assert!(other.stream(what).is_none() && other.logged(expected), "{expected} after {how}");
        }
    }
    assert!(other.stream("caught").is_none() && other.logged("this is caught"));
}

#[needs::lld]
#[needs::cxx]
#[test]
fn a_budget_stops_a_vm_of_a_slot() {
    let _alone = alone();
    let module = Module::linked(linked::crashes());
    let config = || VmConfig::default().callback_budget(CallbackBudget::fail(Duration::from_millis(50)));
    for how in ["spin", "loop of hostcalls", "loop of memcpy"] {
        let mut vm = Running::start(&module, config());
        let failure = vm.stream(how).unwrap_or_else(|| panic!("{how}: it ran to its end"));
        assert_eq!(failure.kind, FailureKind::Limit, "{how}: {failure}");
        assert!(failure.message.contains("callback_budget"), "{how}: {failure}");
    }
    assert!(Running::start(&module, VmConfig::default()).stream("").is_none());
}
