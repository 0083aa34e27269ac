//! Correct plugins: memory that others allocated, and what a plugin leaves with the C library, outlive neither the plugin's defects nor its VM.
//! And defects of the heap, which fail the VM.

use dynvm::{FailureKind, Module, VmConfig};
use harness::{Backend, Harness, TestStream, compile, loader};

fn module() -> Module {
    defined(&[])
}

fn defined(defines: &[&str]) -> Module {
    loader().load_file(compile::plugin(Backend::Native, "leaves.c", defines)).unwrap()
}

/// Sends a request to a plugin that does this: its VM, and the log.
fn request(module: &Module, how: &str) -> (Harness, Vec<String>) {
    let mut harness = Harness::of(module, VmConfig::default(), how);
    let stream = harness.stream(TestStream::with_headers([(":path", "/")]));
    harness.vm.on_request_headers(stream, 1, true);
    let log = harness.log();
    (harness, log)
}

/// Runs a plugin on a thread that then ends, as its values of keys do; the log, with that of the VM's end.
fn on_a_thread(how: &'static str) -> Vec<String> {
    std::thread::spawn(move || {
        let (harness, mut lines) = request(&module(), how);
        assert_eq!(harness.vm.failure(), None, "{how}");
        let log = harness.log.clone();
        drop(harness);
        lines.extend(harness::lines(&log));
        lines
    })
    .join()
    .unwrap()
}

#[needs::cxx]
#[test]
fn memory_of_the_c_library() {
    let (harness, log) = request(&module(), "getline");
    assert_eq!(harness.vm.failure(), None);
    assert_eq!(log.len(), 4, "{log:?}");
    assert!(log[1].starts_with("a much longer second line") && log[3] == "first", "{log:?}");
    let (harness, log) = request(&module(), "given");
    assert_eq!((harness.vm.failure(), &log[..]), (None, &["scanned again".to_owned()][..]));
}

#[needs::cxx]
#[test]
fn keys_and_exit_handlers_end_with_the_vm() {
    assert_eq!(on_a_thread("key"), ["the value of a key ended"]);
    assert_eq!(on_a_thread("exit handlers"), ["on exit", "at exit"]);
}

#[needs::cxx]
#[test]
fn variables_of_the_environment_are_copied() {
    assert_eq!(on_a_thread("environment"), ["by a plugin"]);
    // The host reads its environment after the image is gone.
    assert_eq!(std::env::var("DYNVM_LEFT_BEHIND").as_deref(), Ok("by a plugin"));
}

/// A plugin that blocks all signals, as is usual before threads are started, and then crashes: the kernel would end the process.
#[needs::cxx]
#[test]
fn a_crash_with_all_signals_blocked() {
    std::thread::spawn(|| {
        let (harness, _) = request(&module(), "blocked");
        let failure = harness.vm.failure().expect("the VM has failed");
        assert_eq!(failure.kind, FailureKind::Trap, "{failure}");
    })
    .join()
    .unwrap();
}

/// The thread's stack for signals stays the loader's: one of the plugin's memory would be unmapped with it.
#[needs::cxx]
#[test]
fn the_signal_stack_is_kept() {
    assert_eq!(on_a_thread("signal stack"), ["not permitted"]);
}

/// Mappings of images in this process.
fn mapped() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().matches("/memfd:dynvm-image").count()
}

/// An image stays while a thread of its plugin runs or a handler of a signal is in it, and no longer. One that merely could start a thread
/// stays no longer than others. In a process of its own, as other tests map images too.
#[needs::cxx]
#[test]
fn images_stay_while_they_are_used() {
    const CHILD: &str = "DYNVM_TEST_STAYS";
    if std::env::var_os(CHILD).is_none() {
        let mut child = needs::this_program!();
        child.args(["--exact", "leaves::images_stay_while_they_are_used", "--nocapture"]).env(CHILD, "1");
        let output = child.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let module = defined(&["NO_STREAMS"]);
    drop(request(&module, ""));
    let before = mapped();
    for _ in 0..200 {
        drop(request(&module, ""));
        drop(request(&module, "thread"));
    }
    assert_eq!(mapped(), before, "the threads have ended");
    let (harness, _) = request(&module, "detached");
    let with_vm = mapped();
    drop(harness);
    assert_eq!(mapped(), with_vm, "the thread runs on");
    std::thread::sleep(std::time::Duration::from_millis(50));
    drop(request(&module, "handler"));
    let with_handler = mapped();
    assert!(with_handler > with_vm, "a signal may still come");
    drop(request(&self::module(), ""));
    assert!(mapped() > with_handler, "a stream may refer to its memory (fmemopen)");
}

#[needs::cxx]
#[test]
fn defects_of_the_heap() {
    let module = module();
    for (how, what) in [
        ("double free", "free already"),
        ("wild free", "inside of a block"),
        ("free of a large block's middle", "the plugin damaged its heap"),
    ] {
        let (harness, _) = request(&module, how);
        let failure = harness.vm.failure().unwrap_or_else(|| panic!("{how}: the VM runs"));
        assert_eq!(failure.kind, FailureKind::Trap, "{how}: {failure}");
        assert!(
            failure.message.contains(what) && failure.message.contains("proxy_on_request_headers"),
            "{how}: {failure}"
        );
        drop(harness);
        assert_eq!(request(&module, "given").0.vm.failure(), None, "after {how}");
    }
    let (harness, log) = request(&module, "allocates too much");
    assert_eq!((harness.vm.failure(), &log[..]), (None, &["null".to_owned()][..]), "there are not so many addresses");
}
