//! Where containment ends: a fault or an exit among frames that may hold a lock ends the process, as it would have without the loader, and
//! never leaves it hanging. Each experiment runs in a process of its own.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Output;
use std::sync::{Arc, Mutex};

use dynvm::abi::types::LogLevel;
use dynvm::host::{Clock, Log, LogSource};
use dynvm::{Module, VmConfig};
use harness::{Backend, Harness, TestStream, compile, loader};

const EXPERIMENT: &str = "DYNVM_TEST_EXPERIMENT";
const PLUGIN: &str = "DYNVM_TEST_PLUGIN";

/// The plugin's file: a child has it from its parent.
fn plugin() -> PathBuf {
    std::env::var_os(PLUGIN).map_or_else(|| compile::plugin(Backend::Native, "edges.c", &[]), PathBuf::from)
}

fn module() -> Module {
    loader().load_file(plugin()).unwrap()
}

/// Sends a request to a plugin that does this, and returns the VM.
fn request(module: &Module, how: &str) -> Harness {
    let mut harness = Harness::of(module, VmConfig::default(), how);
    serve(&mut harness);
    harness
}

fn serve(harness: &mut Harness) {
    let stream = harness.stream(TestStream::with_headers([(":path", "/")]));
    harness.vm.on_request_headers(stream, 1, true);
}

/// In the child: which experiment. The process ends after a while by a signal, should it hang.
fn experiment() -> Option<String> {
    let how = std::env::var(EXPERIMENT).ok()?;
    // SAFETY: sets a timer of this process.
    unsafe { libc::alarm(60) };
    Some(how)
}

/// Runs a test of this binary again, as a child with an experiment. `main`: on the process's main thread.
fn run(test: &str, how: &str, main: bool) -> Output {
    let mut child = needs::this_program!();
    child.args(["--exact", &format!("edges::{test}"), "--nocapture"]);
    child.env(EXPERIMENT, how).env(PLUGIN, plugin());
    if main {
        child.arg("--test-threads=1");
    }
    child.output().unwrap()
}

fn text(output: &Output) -> String {
    format!(
        "{:?}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// In the child: the request, and that afterwards this thread serves with a fresh VM, and others with the C library.
fn report(how: &str) {
    let module = module();
    let harness = request(&module, how);
    let pid = std::process::id();
    println!("process {pid}: {}", harness.vm.failure().map_or("served".to_owned(), |failure| failure.to_string()));
    harness.log().iter().for_each(|line| println!("log: {line}"));
    drop(harness);
    assert!(!request(&module, "").vm.has_failed(), "a fresh VM serves after {how}");
    std::thread::spawn(|| {
        // SAFETY: valid strings.
        unsafe {
            libc::printf(c"%s\n".as_ptr(), c"the C library works".as_ptr());
            libc::getpwnam(c"root".as_ptr());
            libc::setlocale(libc::LC_ALL, c"C".as_ptr());
            libc::fflush(std::ptr::null_mut());
        }
    })
    .join()
    .unwrap();
}

#[track_caller]
fn is_contained(test: &str, how: &str, message: &str) {
    for main in [false, true] {
        let output = run(test, how, main);
        let text = text(&output);
        assert!(output.status.success(), "{how}, main thread: {main}: {text}");
        assert!(text.contains(message), "{how}, main thread: {main}: {message:?} is in {text}");
        assert!(text.contains("the C library works"), "{how}: {text}");
    }
}

#[track_caller]
fn ends_by(test: &str, how: &str, signal: i32) {
    let output = run(test, how, false);
    assert_eq!(output.status.signal(), Some(signal), "{how}: {}", text(&output));
}

/// Functions of the C library that hold nothing, and that the image calls.
#[needs::cxx]
#[test]
fn functions_that_hold_nothing() {
    const TEST: &str = "functions_that_hold_nothing";
    if let Some(how) = experiment() {
        return report(&how);
    }
    for how in ["memcpy", "memmove", "strlen", "strcpy", "strstr", "strdup", "strncat", "snprintf", "sscanf"] {
        is_contained(TEST, how, "SIGSEGV");
    }
    is_contained(TEST, "qsort crash", "SIGSEGV at instruction");
    is_contained(TEST, "qsort abort", "aborted");
    is_contained(TEST, "breakpoint", "SIGTRAP");
    is_contained(TEST, "pthread_exit", "pthread_exit");
}

/// The same faults where the C library may hold a lock.
#[needs::cxx]
#[test]
fn functions_that_may_hold_a_lock() {
    const TEST: &str = "functions_that_may_hold_a_lock";
    if let Some(how) = experiment() {
        return report(&how);
    }
    for how in ["printf", "fwrite", "getpwnam", "setlocale", "dl_iterate_phdr crash"] {
        ends_by(TEST, how, libc::SIGSEGV);
    }
    ends_by(TEST, "dl_iterate_phdr abort", libc::SIGABRT);
    let exit = run(TEST, "dl_iterate_phdr exit", false);
    assert_eq!(exit.status.code(), Some(7), "{}", text(&exit));
}

/// Endless recursion, wherever it meets the end of the stack.
#[needs::cxx]
#[test]
fn the_end_of_the_stack() {
    const TEST: &str = "the_end_of_the_stack";
    if let Some(how) = experiment() {
        return report(&how);
    }
    is_contained(TEST, "recursion", "SIGSEGV");
    is_contained(TEST, "recursion with strlen", "SIGSEGV");
    is_contained(TEST, "recursion with snprintf", "SIGSEGV");
    is_contained(TEST, "recursion with hostcalls", "used up its stack");
    is_contained(TEST, "recursion with malloc", "used up its stack");
}

/// Child processes that the plugin forks end as they say, and never return to the host.
#[needs::cxx]
#[test]
fn child_processes() {
    const TEST: &str = "child_processes";
    if let Some(how) = experiment() {
        return report(&how);
    }
    for (how, end) in [
        ("fork, _exit", "exited with 3"),
        ("fork, exit", "exited with 3"),
        ("fork, exec fails", "exited with 127"),
        ("fork, abort", "ended by signal 6"),
        ("fork, crash", "ended by signal 11"),
        ("fork, recursion with hostcalls", "ended by signal 11"),
        ("fork, hostcall", "exited with 4"),
        ("fork, return", "exited with 1"),
        ("vfork, _exit", "exited with 3"),
        ("vfork, exec fails", "exited with 127"),
        ("vfork, abort", "ended by signal 6"),
        ("thread forks", "exited with 5"),
    ] {
        let output = run(TEST, how, false);
        let text = text(&output);
        assert!(output.status.success() && text.contains(&format!("log: the child {end}")), "{how}: {text}");
        assert!(text.contains("log: survived"), "{how}: {text}");
        assert!(!text.contains("said by the child"), "{how}: {text}");
        assert_eq!(text.matches("\nprocess ").count(), 1, "{how}: one process goes on: {text}");
        assert_eq!(text.matches("the C library works").count(), 1, "{how}: {text}");
    }
}

/// A signal that was sent is no fault: it does what it does without the loader.
#[needs::cxx]
#[test]
fn signals_that_were_sent() {
    const TEST: &str = "signals_that_were_sent";
    if let Some(how) = experiment() {
        if how == "kill" {
            let _harness = Harness::of(&module(), VmConfig::default(), "");
            // SAFETY: to this process.
            unsafe { libc::kill(libc::getpid(), libc::SIGSEGV) };
            // Of several threads any may take it.
            std::thread::sleep(std::time::Duration::from_secs(30));
        }
        return report(&how);
    }
    ends_by(TEST, "raise SIGSEGV", libc::SIGSEGV);
    ends_by(TEST, "raise SIGFPE", libc::SIGFPE);
    ends_by(TEST, "kill", libc::SIGSEGV);
}

/// A handler that was installed over the loader's is behind it again once a VM starts, and gets what is not a plugin's.
#[needs::cxx]
#[test]
fn handlers_installed_later() {
    const TEST: &str = "handlers_installed_later";
    extern "C" fn host_handler(_: i32) {
        const MESSAGE: &[u8] = b"the host's handler\n";
        // SAFETY: writes a constant, and ends the process.
        unsafe {
            libc::write(1, MESSAGE.as_ptr().cast(), MESSAGE.len());
            libc::_exit(9);
        }
    }
    if let Some(how) = experiment() {
        let module = module();
        drop(request(&module, ""));
        match &*how {
            // SAFETY: a handler that lives as long as the process.
            "host" => unsafe {
                libc::signal(libc::SIGSEGV, host_handler as *const () as usize);
            },
            _ => assert!(!request(&module, &how).vm.has_failed()),
        }
        println!("{}", request(&module, "crash").vm.failure().unwrap());
        println!("the C library works");
        if how == "host" {
            // SAFETY: deliberately unsound; the crash is the subject of the test.
            unsafe { std::hint::black_box(8 as *mut u32).write_volatile(1) };
        }
        return;
    }
    let output = run(TEST, "host", false);
    let text = text(&output);
    assert!(text.contains("SIGSEGV at instruction") && text.contains("the host's handler"), "{text}");
    assert_eq!(output.status.code(), Some(9), "{text}");
    is_contained(TEST, "signal SIG_DFL", "SIGSEGV at instruction");
}

/// What a plugin changes on its thread does not outlive its failure.
#[needs::cxx]
#[test]
#[cfg(target_arch = "x86_64")]
fn the_state_of_the_thread() {
    fn arithmetic() -> (u32, u16) {
        let (mut mxcsr, mut x87) = (0u32, 0u16);
        // SAFETY: stores two registers.
        unsafe {
            std::arch::asm!("stmxcsr [{}]", "fnstcw [{}]", in(reg) &raw mut mxcsr, in(reg) &raw mut x87, options(nostack))
        };
        // Without the flags, which are results.
        (mxcsr & 0xffc0, x87)
    }
    fn is_blocked(signal: i32) -> bool {
        // SAFETY: a place for a set.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut set);
            libc::sigismember(&set, signal) == 1
        }
    }
    const TEST: &str = "the_state_of_the_thread";
    if let Some(how) = experiment() {
        let before = arithmetic();
        let module = module();
        let failed = request(&module, &how).vm.has_failed();
        let after = arithmetic();
        assert_eq!(failed, how.contains("crash") || how.contains("abort"));
        assert_eq!(before, after);
        assert!(!is_blocked(libc::SIGUSR1));
        println!("{}\nthe C library works", std::hint::black_box(1.0) / std::hint::black_box(3.0));
        return;
    }
    for how in ["rounding", "unmasked", "direction", "alignment"] {
        for end in [", then crash", ", then abort"] {
            is_contained(TEST, &format!("{how}{end}"), "0.333");
        }
    }
    is_contained(TEST, "block SIGUSR1, crash", "0.333");
    is_contained(TEST, "block SIGUSR1, abort", "0.333");
}

/// Functions of the C library that the loader answers look at addresses before they use them.
#[needs::cxx]
#[test]
fn addresses_of_functions_that_the_loader_answers() {
    let harness = request(&module(), "addresses");
    assert_eq!(harness.vm.failure(), None);
    assert_eq!(harness.log()[..3], ["write: EFAULT", "writev: EFAULT", "writev of nothing: EFAULT"]);
}

/// The host's own code ends the process when it crashes, also where the plugin called a function of the C library.
#[needs::cxx]
#[test]
fn the_hosts_clock_and_log() {
    const TEST: &str = "the_hosts_clock_and_log";
    struct Crashes(Mutex<()>);
    impl Clock for Crashes {
        fn realtime_ns(&self) -> u64 {
            let _held = self.0.lock();
            // SAFETY: deliberately unsound; the crash is the subject of the test.
            unsafe { std::hint::black_box(16 as *const u64).read_volatile() }
        }
        fn monotonic_ns(&self) -> u64 {
            0
        }
    }
    struct Panics;
    impl Log for Panics {
        fn log(&self, _: LogSource<'_>, _: LogLevel, message: &[u8]) {
            assert_ne!(message, b"written", "the host's log panics");
        }
    }
    if let Some(how) = experiment() {
        let mut parts = harness::parts();
        parts.services.clock = Arc::new(Crashes(Mutex::default()));
        parts.services.log = Arc::new(Panics);
        let mut harness = Harness::with(parts, &module(), VmConfig::default(), &how).map_err(|(e, _)| e).unwrap();
        serve(&mut harness);
        println!("{}", harness.vm.failure().unwrap());
        println!("the C library works");
        return;
    }
    ends_by(TEST, "time", libc::SIGSEGV);
    is_contained(TEST, "write", "the host panicked in its log");
}
