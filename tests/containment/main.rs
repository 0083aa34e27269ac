//! Crashes of native plugins, of every kind: the VM fails; the process, the thread and other VMs continue; nothing
//! remains.
//!
//! Crashes are contained on Linux, on x86-64 and aarch64.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

mod edges;
mod leaves;

use dynvm::native::Interpose;
use dynvm::{FailureKind, Module, VmConfig};
use harness::{Backend, Harness, TestStream, compile, loader, loader_with};

fn cpp() -> Module {
    loader().load_file(compile::plugin(Backend::Native, "crash.cc", &[])).unwrap()
}

/// Sends a request to a plugin that fails in this way: the failure of the VM, and the log.
fn crash(module: &Module, how: &str) -> (Option<dynvm::Failure>, Vec<String>) {
    crash_with(module, how, VmConfig::default())
}

fn crash_with(module: &Module, how: &str, config: VmConfig) -> (Option<dynvm::Failure>, Vec<String>) {
    let mut harness = Harness::of(module, config, how);
    let stream = harness.stream(TestStream::with_headers([(":path", "/")]));
    harness.vm.on_request_headers(stream, 1, true);
    let failure = harness.vm.failure();
    let log = harness.log();
    // A fresh VM on the same thread serves.
    let mut next = Harness::of(module, VmConfig::default(), "");
    let stream = next.stream(TestStream::with_headers([(":path", "/")]));
    next.vm.on_request_headers(stream, 1, true);
    assert_eq!(next.vm.failure(), None, "after {how}");
    (failure, log)
}

#[track_caller]
fn fails(module: &Module, how: &str, kind: FailureKind, message: &str, function: &str) {
    let (failure, log) = crash(module, how);
    let failure = failure.unwrap_or_else(|| panic!("{how}: the VM runs"));
    assert_eq!(failure.kind, kind, "{how}: {failure}");
    assert!(failure.message.contains(message), "{how}: {message:?} is in {failure}");
    assert!(failure.message.contains(function), "{how}: {function:?} is in the backtrace of {failure}");
    assert!(log.iter().any(|line| line.contains(message)), "{how}: the log has it: {log:?}");
}

#[needs::cxx]
#[test]
fn crashes_of_cpp_plugins() {
    let module = cpp();
    use FailureKind::{Exit, Trap};
    fails(
        &module,
        "throw",
        Exit,
        "C++ exception that nobody caught: std::runtime_error",
        "(anonymous namespace)::fail",
    );
    fails(&module, "throw_int", Exit, "C++ exception that nobody caught: int", "(anonymous namespace)::fail");
    fails(&module, "noexcept", Exit, "C++ exception that nobody caught", "must_not_throw");
    fails(&module, "terminate", Exit, "C++ exception that nobody caught", "(anonymous namespace)::fail");
    fails(&module, "abort", Exit, "aborted", "(anonymous namespace)::fail");
    fails(&module, "assert", Exit, "assertion of the plugin's failed", "proxy_on_request_headers");
    fails(&module, "exit", Exit, "exit(7)", "(anonymous namespace)::fail");
    fails(&module, "_exit", Exit, "exit(7)", "(anonymous namespace)::fail");
    // Its frame is damaged, and with it the path to its callers.
    fails(&module, "smash", Exit, "stack smashing", "");
    fails(&module, "segv", Trap, "SIGSEGV", "(anonymous namespace)::fail");
    fails(&module, "memcpy", Trap, "SIGSEGV", "(anonymous namespace)::fail");
    fails(&module, "null call", Trap, "SIGSEGV", "(anonymous namespace)::fail");
    fails(&module, "wild call", Trap, "SIGSEGV", "");
    // Elsewhere the quotient is 0.
    if cfg!(target_arch = "x86_64") {
        fails(&module, "fpe", Trap, "SIGFPE", "(anonymous namespace)::fail");
    }
    fails(&module, "ill", Trap, "SIGILL", "(anonymous namespace)::fail");
    fails(&module, "overflow", Trap, "SIGSEGV", "overflow");
    // By the C++ library, whose frames hold nothing that unwinding would release.
    fails(
        &module,
        "length error",
        Exit,
        "C++ exception that nobody caught: std::length_error",
        "(anonymous namespace)::fail",
    );
}

/// The same, where the plugin brings its own C++ library: its functions call the C library's `abort`.
#[needs::cxx]
#[test]
fn crashes_with_a_cpp_library_linked_statically() {
    let module = loader().load_file(compile::plugin(Backend::Native, "crash.cc", &["STATIC"])).unwrap();
    use FailureKind::{Exit, Trap};
    fails(&module, "throw", Exit, "C++ exception that nobody caught: std::runtime_error", "fail");
    fails(&module, "throw_int", Exit, "C++ exception that nobody caught: int", "fail");
    fails(&module, "noexcept", Exit, "aborted", "must_not_throw");
    fails(&module, "terminate", Exit, "aborted", "fail");
    fails(&module, "abort", Exit, "aborted", "fail");
    fails(&module, "memcpy", Trap, "SIGSEGV", "fail");
    fails(&module, "length error", Exit, "C++ exception that nobody caught: std::length_error", "fail");
}

/// Recursion through the C++ library and the heap.
#[needs::cxx]
#[test]
fn recursion_with_strings() {
    let linked_statically = loader().load_file(compile::plugin(Backend::Native, "crash.cc", &["STATIC"])).unwrap();
    fails(&linked_statically, "overflow with strings", FailureKind::Trap, "stack", "overflow_with_strings");
}

/// The exceptions that a plugin leaves behind are unknown to the next plugin on the thread, and to the host.
#[needs::cxx]
#[test]
fn exceptions_left_behind() {
    let module = cpp();
    for how in ["throw", "segv in catch", "throw_int"] {
        assert!(crash(&module, how).0.is_some());
        let (_, log) = crash(&module, "uncaught");
        assert!(log.iter().any(|line| line == "uncaught exceptions: 0"), "after {how}: {log:?}");
        let (_, log) = crash(&module, "current exception");
        assert!(log.iter().any(|line| line == "no exception is handled"), "after {how}: {log:?}");
    }
}

/// Exceptions that the plugin handles itself have no effect.
#[needs::cxx]
#[test]
fn exceptions_that_are_caught() {
    let (failure, log) = crash(&cpp(), "caught");
    assert_eq!(failure, None);
    assert!(log.iter().any(|line| line.contains("this is caught")), "{log:?}");
}

/// Hostcalls refuse addresses outside the plugin before the host touches them.
#[needs::cxx]
#[test]
fn bad_pointers() {
    let (failure, log) = crash(&cpp(), "bad pointers");
    assert_eq!(failure, None);
    assert!(log.iter().any(|line| line.contains("all refused") && !line.contains("not")), "{log:?}");
}

/// A C++ plugin allocates from the VM's heap, by a C++ library of its own or by the shared one.
#[needs::cxx]
#[test]
fn memory_limit() {
    // Frames of the shared library end the backtrace.
    for (linked, function) in [(&["STATIC"][..], "fail"), (&[], "")] {
        limits_memory(&loader().load_file(compile::plugin(Backend::Native, "crash.cc", linked)).unwrap(), function);
    }
}

fn limits_memory(cpp: &Module, function: &str) {
    let mut config = VmConfig::default();
    config.memory_limit = Some(8 << 20);
    let (failure, _) = crash_with(cpp, "hoard", config.clone());
    let failure = failure.expect("the VM has failed");
    assert_eq!(failure.kind, FailureKind::Limit, "{failure}");
    assert!(failure.message.contains("memory limit") && failure.message.contains(function), "{failure}");
    // A limit that is not reached has no effect.
    let mut harness = Harness::of(cpp, config, "");
    let used = harness.vm.memory_size().expect("the heap is counted");
    assert!((10_000..8 << 20).contains(&used), "{used} bytes");
    let stream = harness.stream(TestStream::with_headers([(":path", "/")]));
    harness.vm.on_request_headers(stream, 1, true);
    assert_eq!(harness.vm.failure(), None);
}

/// Constructors run guarded and may make hostcalls; destructors run when a VM ends without a failure.
#[needs::cxx]
#[test]
fn statics_live_as_long_as_their_vm() {
    let harness = Harness::of(&cpp(), VmConfig::default(), "");
    assert!(harness.log().iter().any(|line| line.contains("a static that was constructed")));
    let log = harness.log.clone();
    drop(harness);
    let log = harness::lines(&log);
    assert_eq!(log[log.len() - 2..], ["a thread-local variable was destroyed", "a static was destroyed"]);
}

#[needs::cxx]
#[test]
fn a_failed_vm_runs_no_destructors() {
    let (_, log) = crash(&cpp(), "segv");
    assert!(!log.iter().any(|line| line.contains("destroyed")), "{log:?}");
}

#[needs::cxx]
#[test]
fn crashes_while_starting_and_ending() {
    let load = |define| loader().load_file(compile::plugin(Backend::Native, "crash.cc", &[define])).unwrap();
    let error = dynvm::Vm::builder(&load("CRASH_IN_CONSTRUCTOR")).services(Default::default()).build();
    let error = dynvm::with_causes(&error.map(|_| ()).unwrap_err());
    assert!(error.contains("SIGSEGV") && error.contains("crash.cc"), "{error}");
    let harness = Harness::of(&load("CRASH_IN_DESTRUCTOR"), VmConfig::default(), "");
    let log = harness.log.clone();
    drop(harness);
    assert!(harness::lines(&log).iter().any(|line| line.contains("failed in a destructor: the plugin aborted")));
    // The system's loader is not locked, on any thread.
    std::thread::spawn(|| drop(Harness::of(&cpp(), VmConfig::default(), ""))).join().unwrap();
}

/// Statics that g++ marks as unique in the process are separate in each image.
#[needs::cxx]
#[test]
fn unique_statics_are_private() {
    let module = cpp();
    let count = |harness: &mut Harness| {
        let stream = harness.stream(TestStream::with_headers([(":path", "/")]));
        harness.vm.on_request_headers(stream, 1, true);
        harness.log().pop().unwrap()
    };
    let (mut one, mut other) =
        (Harness::of(&module, VmConfig::default(), "count"), Harness::of(&module, VmConfig::default(), "count"));
    assert_eq!([count(&mut one), count(&mut one), count(&mut other)], ["1", "2", "1"]);
}

/// Replaced functions can be left to the system; containing a fault needs none of them.
#[needs::cxx]
#[test]
fn without_interposed_functions() {
    let loader = loader_with(|options| options.native.as_mut().unwrap().interpose = Interpose::none());
    let module = loader.load_file(compile::plugin(Backend::Native, "crash.cc", &[])).unwrap();
    for how in ["", "caught", "count"] {
        let mut harness = Harness::of(&module, VmConfig::default(), how);
        let stream = harness.stream(TestStream::with_headers([(":path", "/")]));
        harness.vm.on_request_headers(stream, 1, true);
        assert_eq!(harness.vm.failure(), None, "{how}");
    }
    let mut harness = Harness::of(&module, VmConfig::default(), "segv");
    let stream = harness.stream(TestStream::with_headers([(":path", "/")]));
    harness.vm.on_request_headers(stream, 1, true);
    assert_eq!(harness.vm.failure().map(|failure| failure.kind), Some(FailureKind::Trap));
}

/// Panics of plugins on the Rust SDK, built to unwind and to abort.
#[test]
fn panics() {
    for panic in ["unwind", "abort"] {
        let module = loader().load_file(harness::sdk::crash(panic)).unwrap();
        let (failure, log) = crash(&module, "panic");
        let failure = failure.expect("the VM has failed");
        assert_eq!(failure.kind, FailureKind::Exit);
        // A panic unwinds at most to the callback, which it must not leave.
        let function = if panic == "abort" { "on_http_request_headers" } else { "proxy_on_request_headers" };
        assert!(failure.message.contains(function), "{panic}: the backtrace names it: {failure}");
        assert!(log.iter().any(|line| line.contains("a bug in line 41")), "{panic}: the message is logged: {log:?}");
        for how in ["index", "borrow"] {
            let (failure, log) = crash(&module, how);
            assert_eq!(failure.map(|failure| failure.kind), Some(FailureKind::Exit), "{panic} {how}");
            assert!(log.iter().any(|line| line.contains("panicked at")), "{panic} {how}: {log:?}");
        }
        let (failure, _) = crash(&module, "exit");
        assert!(failure.unwrap().message.contains("exit(3)"));
        let mut config = VmConfig::default();
        config.memory_limit = Some(4 << 20);
        assert_eq!(crash_with(&module, "memory", config).0.unwrap().kind, FailureKind::Limit);
    }
}

/// Output of a plugin goes to the log.
#[test]
fn output_is_logged() {
    let module = loader().load_file(harness::sdk::crash("unwind")).unwrap();
    let (failure, log) = crash(&module, "print");
    assert_eq!(failure, None);
    let has = |text: &str| log.iter().any(|line| line.contains(text));
    assert!(has("to standard output") && has("to standard error"), "{log:?}");
}

/// Thread-local state of an SDK plugin is dropped with its VM, and may still make hostcalls.
#[test]
fn sdk_state_is_dropped_with_its_vm() {
    let module = loader().load_file(harness::sdk::crash("unwind")).unwrap();
    let harness = Harness::of(&module, VmConfig::default(), "");
    let log = harness.log.clone();
    drop(harness);
    assert!(harness::lines(&log).iter().any(|line| line == "a thread-local variable was dropped"));
}

/// A crash of the host's own code ends the process. The child runs this test again.
#[needs::cxx]
#[test]
fn crashes_of_the_host_end_the_process() {
    const CHILD: &str = "DYNVM_TEST_CRASH";
    if std::env::var_os(CHILD).is_some() {
        // The handlers are installed, and this thread has a VM.
        let _harness = Harness::of(&cpp(), VmConfig::default(), "");
        // SAFETY: deliberately unsound; the crash is the subject of the test.
        unsafe { std::hint::black_box(8 as *mut u32).write_volatile(1) };
    }
    let mut child = needs::this_program!();
    let output =
        child.args(["--exact", "crashes_of_the_host_end_the_process", "--nocapture"]).env(CHILD, "1").output().unwrap();
    use std::os::unix::process::ExitStatusExt as _;
    assert_eq!(output.status.signal(), Some(11), "{output:?}");
}

/// A host may put the signal stack of a thread anywhere, also above the thread's own stack: crashes are contained, with their backtraces, and
/// a callback that overruns its budget is stopped.
#[needs::cxx]
#[test]
fn a_signal_stack_above_the_stack() {
    const SIZE: usize = 256 * 1024;
    let module = cpp();
    std::thread::spawn(move || {
        let local = 0u8;
        let here = &raw const local as usize & !0xfff;
        let above = (1..1024).map(|step| here + step * (64 << 20)).find_map(|hint| {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
            // SAFETY: maps new memory where nothing is mapped.
            let memory = unsafe { libc::mmap(hint as *mut _, SIZE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
            (memory != libc::MAP_FAILED).then_some(memory)
        });
        let stack = libc::stack_t { ss_sp: above.expect("there is room above the stack"), ss_flags: 0, ss_size: SIZE };
        // SAFETY: the memory stays mapped.
        assert_eq!(unsafe { libc::sigaltstack(&stack, std::ptr::null_mut()) }, 0);
        fails(&module, "ill", FailureKind::Trap, "SIGILL", "(anonymous namespace)::fail");
        let mut config = VmConfig::default();
        config.callback_budget = Some(dynvm::CallbackBudget::fail(std::time::Duration::from_millis(100)));
        let (failure, _) = crash_with(&module, "spin", config);
        assert_eq!(failure.expect("the VM has failed").kind, FailureKind::Limit);
    })
    .join()
    .unwrap();
}
