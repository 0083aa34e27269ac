//! Limits in forked children, as in hosts with worker processes: the parent creates the loader and the VM.
//!
//! Without the test harness, whose threads a fork would lose.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dynvm::abi::types::LogLevel;
use dynvm::host::{Log, LogSource};
use dynvm::{CallbackBudget, FailureKind, Module, VmConfig};
use harness::{Backend, Harness, TestStream, compile};

const LIMIT: Duration = Duration::from_millis(40);

fn main() {
    let tests: &[(&str, fn())] = &[
        #[cfg(feature = "wasm")]
        ("wasm", wasm),
        ("native", native),
        ("new VMs", new_vms),
        ("a log that waits", a_log_that_waits),
    ];
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    for (name, test) in tests.iter().filter(|(name, _)| name.contains(&filter)) {
        test();
        println!("test {name} ... ok");
    }
}

fn budget(budget: CallbackBudget) -> VmConfig {
    let mut config = VmConfig::default();
    config.callback_budget = Some(budget);
    config
}

/// Runs a request, and returns whether the time limit stopped it.
fn is_stopped(harness: &mut Harness) -> bool {
    let stream = harness.stream(TestStream::with_headers([(":path", "/")]));
    harness.vm.on_request_headers(stream, 1, true);
    harness.vm.failure().is_some_and(|failure| failure.kind == FailureKind::Limit)
}

/// Forks; runs a check in the child and in the child's child, and waits for both.
fn in_children(mut holds: impl FnMut() -> bool) {
    in_child(|| {
        in_child(&mut holds);
        holds()
    });
}

#[track_caller]
fn in_child(holds: impl FnOnce() -> bool) {
    // SAFETY: this process has no threads but those of the loader and those that a test starts.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork failed");
    if child == 0 {
        // SAFETY: ends this process by a signal if it is not stopped.
        unsafe { libc::alarm(20) };
        let holds = std::panic::catch_unwind(std::panic::AssertUnwindSafe(holds)).unwrap_or(false);
        // SAFETY: ends the process.
        unsafe { libc::_exit(if holds { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: waits for this process's child.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert!(!libc::WIFSIGNALED(status), "the child was not stopped, but ended by signal {}", libc::WTERMSIG(status));
    assert_eq!(libc::WEXITSTATUS(status), 0, "what the child says");
}

#[cfg(feature = "wasm")]
fn wasm() {
    let loader = harness::loader_with(|options| options.wasm.cpu_limit = dynvm::wasm::CpuLimit::Time(LIMIT));
    let module = loader.load_file(compile::plugin(Backend::Wasm, "probe.c", &[])).unwrap();
    let spin = harness::in_headers(&["spin"]);
    let mut harness = Harness::of(&module, VmConfig::default(), &spin);
    in_children(|| is_stopped(&mut harness));
    in_children(|| is_stopped(&mut Harness::of(&module, VmConfig::default(), &spin)));
    assert!(is_stopped(&mut harness), "the parent has its clock as before");
}

fn crashing() -> Module {
    harness::loader().load_file(compile::plugin(Backend::Native, "crash.cc", &[])).unwrap()
}

fn native() {
    let mut harness = Harness::of(&crashing(), budget(CallbackBudget::fail(LIMIT)), "spin");
    in_children(|| is_stopped(&mut harness));
    assert!(is_stopped(&mut harness), "the parent has its watchdog as before");
}

fn new_vms() {
    let module = crashing();
    let spin = || Harness::of(&module, budget(CallbackBudget::fail(LIMIT)), "spin");
    assert!(is_stopped(&mut spin()));
    in_children(|| is_stopped(&mut spin()));
}

/// The watchdog logs to the embedder's log, which waits for a lock that the forking thread holds.
fn a_log_that_waits() {
    struct Waits {
        lock: Arc<Mutex<()>>,
        entered: Arc<AtomicBool>,
    }
    impl Log for Waits {
        fn log(&self, _: LogSource<'_>, _: LogLevel, message: &[u8]) {
            if message.windows(9).any(|part| part == b"budget is") {
                self.entered.store(true, Ordering::Release);
                drop(self.lock.lock());
            }
        }
    }
    let module = crashing();
    let mut harness = Harness::of(&module, budget(CallbackBudget::fail(LIMIT)), "spin");
    let (lock, entered) = (Arc::new(Mutex::new(())), Arc::new(AtomicBool::new(false)));
    let held = lock.lock().unwrap();
    let log = Arc::new(Waits { lock: lock.clone(), entered: entered.clone() });
    let busy = std::thread::spawn({
        let module = module.clone();
        move || {
            let mut parts = harness::parts();
            parts.services.log = log;
            let config = budget(CallbackBudget::report(LIMIT));
            let mut harness = Harness::with(parts, &module, config, "busy").map_err(|(error, _)| error).unwrap();
            is_stopped(&mut harness)
        }
    });
    while !entered.load(Ordering::Acquire) {
        std::thread::sleep(Duration::from_millis(1));
    }
    in_child(|| is_stopped(&mut harness));
    drop(held);
    assert!(!busy.join().unwrap(), "it was only reported");
}
