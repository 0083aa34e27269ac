//! The spans and events of the loader. A separate process, since its subscriber is global.

use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::sync::{Arc, Once};

use dynvm::host::TracingLog;
use dynvm::{PluginConfig, Vm, VmConfig};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use harness::{Backend, TestStream, compile, in_headers, loader, parts, script};

const BACKENDS: [Backend; 2] = [Backend::Native, Backend::Wasm];

/// The process's subscriber. It keeps the events of each thread, and so of each test, as lines of text: level, target,
/// message, fields.
///
/// One for all tests: the interest in an event is cached for the whole process, and an event can be lost while another
/// thread installs its own subscriber.
struct Recorder;

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// The least important level that is recorded.
    static LEAST: Cell<Level> = const { Cell::new(Level::TRACE) };
}

/// Installs the subscriber, once.
fn record() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| tracing::subscriber::set_global_default(Recorder).unwrap());
}

/// The events of this thread since the last call.
fn take() -> Vec<String> {
    LINES.take()
}

#[derive(Default)]
struct Fields {
    message: String,
    others: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.others += &format!(" {}={value:?}", field.name());
        }
    }
}

impl Recorder {
    fn keep(&self, metadata: &Metadata<'_>, what: &str, record: impl FnOnce(&mut Fields)) {
        let mut fields = Fields::default();
        record(&mut fields);
        let message = if what.is_empty() { &fields.message } else { what };
        let line = format!("{} {} {message}{}", metadata.level(), metadata.target(), fields.others);
        LINES.with_borrow_mut(|lines| lines.push(line));
    }
}

impl Subscriber for Recorder {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // Thread numbers vary.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("dynvm") && *metadata.level() <= LEAST.get()
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.keep(span.metadata(), &format!("span {}", span.metadata().name()), |fields| span.record(fields));
        Id::from_u64(1)
    }

    fn event(&self, event: &Event<'_>) {
        self.keep(event.metadata(), "", |fields| event.record(fields));
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[needs::wasm_clang]
#[test]
fn a_plugins_life_is_told() {
    record();
    for backend in BACKENDS {
        let path = compile::plugin(backend, "probe.c", &[]);
        let backend = if backend == Backend::Native { "native" } else { "wasm" };
        let file = path.display().to_string();
        let module = loader().load_file(&path).unwrap();
        let size = module.info().size;
        assert_eq!(
            take(),
            [
                format!("INFO dynvm span load_module module={file:?}"),
                format!(
                    "INFO dynvm module loaded module={file:?} backend=\"{backend}\" size_bytes={size} abi_version=\"0.2.1\""
                ),
            ]
        );
        let mut vm = Vm::builder(&module).config(VmConfig::with_id("id")).services(parts().services).build().unwrap();
        let memory = vm.memory_size().map(|bytes| format!(" memory_bytes={bytes}")).unwrap_or_default();
        assert_eq!(
            take(),
            [
                format!("INFO dynvm span start_vm module={file:?} backend=\"{backend}\" vm_id=\"id\""),
                format!("INFO dynvm VM started{memory}"),
            ]
        );
        let root = vm.start_plugin(PluginConfig::named("p")).unwrap();
        vm.stop_plugin(root).unwrap();
        assert_eq!(
            take(),
            [
                "INFO dynvm span start_plugin vm_id=\"id\" plugin=\"p\"",
                "INFO dynvm plugin started vm_id=\"id\" plugin=\"p\" context_id=1",
                "INFO dynvm plugin stopped vm_id=\"id\" plugin=\"p\" context_id=1",
            ]
        );
        let refusing = PluginConfig::named("no").configuration(script("on_configure", &["return 0"]));
        vm.start_plugin(refusing).unwrap_err();
        let line = take().pop().unwrap();
        assert!(
            line.starts_with("ERROR dynvm plugin not started vm_id=\"id\" plugin=\"no\" context_id=2 error="),
            "{line}"
        );
        let trapping = PluginConfig::named("trap").configuration(in_headers(&["trap"]));
        let root = vm.start_plugin(trapping).unwrap();
        let id = vm.create_stream(root, Box::new(TestStream::default())).unwrap();
        take();
        vm.on_request_headers(id, 0, true);
        let lines = take();
        let [line] = lines.as_slice() else { panic!("a failure is told once: {lines:?}") };
        let start = format!("ERROR dynvm VM failed vm_id=\"id\" plugin=\"trap\" context_id={id} kind=\"trap\" error=");
        assert!(line.starts_with(&start), "{line}");
        loader().load_bytes("bad", b"MZ").unwrap_err();
        let line = take().pop().unwrap();
        assert!(line.starts_with("ERROR dynvm module refused module=\"bad\" error="), "{line}");
    }
}

#[needs::wasm_clang]
#[test]
fn messages_of_plugins_are_events() {
    record();
    for backend in BACKENDS {
        let module = loader().load_file(compile::plugin(backend, "probe.c", &[])).unwrap();
        let mut services = parts().services;
        services.log = Arc::new(TracingLog);
        let mut vm = Vm::builder(&module).config(VmConfig::with_id("id")).services(services).build().unwrap();
        let levels: Vec<String> = (0..6).map(|level| format!("proxy_log {level} text%ff")).collect();
        let calls: Vec<&str> = levels.iter().map(String::as_str).collect();
        let root = vm.start_plugin(PluginConfig::named("p").configuration(in_headers(&calls))).unwrap();
        let id = vm.create_stream(root, Box::new(TestStream::default())).unwrap();
        take();
        vm.on_request_headers(id, 0, true);
        let mut lines = take();
        lines.retain(|line| line.contains(" text"));
        let expected = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "ERROR"]
            .map(|level| format!("{level} dynvm::plugin text\u{fffd} vm_id=\"id\" plugin=\"p\" context_id={id}"));
        assert_eq!(lines[..5], expected[..5]);
        assert_eq!(lines[5..], [format!("{} critical=true", expected[5])]);
    }
}

#[needs::wasm_clang]
#[test]
fn messages_that_nobody_wants_are_none() {
    record();
    LEAST.set(Level::WARN);
    for backend in BACKENDS {
        let module = loader().load_file(compile::plugin(backend, "probe.c", &[])).unwrap();
        let mut services = parts().services;
        services.log = Arc::new(TracingLog);
        let mut vm = Vm::builder(&module).services(services).build().unwrap();
        let calls = in_headers(&["proxy_log 2 info", "proxy_log 3 warn"]);
        let root = vm.start_plugin(PluginConfig::named("p").configuration(calls)).unwrap();
        let id = vm.create_stream(root, Box::new(TestStream::default())).unwrap();
        vm.on_request_headers(id, 0, true);
        let lines = take();
        let [line] = lines.as_slice() else { panic!("one message: {lines:?}") };
        assert!(line.starts_with("WARN dynvm::plugin warn "), "{line}");
    }
}

/// A module that lacks something says so when it is loaded.
#[needs::cc]
#[test]
fn what_a_module_lacks_is_told() {
    record();
    let path = compile::plugin(Backend::Native, "limits.c", &["CALLS=setenv"]);
    let module = loader().load_file(&path).unwrap();
    let reason = &module.info().limitations[0].reason;
    let lacking = format!("protection lacking module={:?} protection=\"environment\" reason={reason:?}", module.name());
    assert_eq!(take().last().unwrap(), &format!("WARN dynvm {lacking}"));
    let path = compile::plugin(Backend::Native, "threads.c", &["_GNU_SOURCE"]);
    let module = loader().load_file(&path).unwrap();
    let reason = module.pinned()[0].to_string();
    let pinned = format!("INFO dynvm VMs pinned to their threads module={:?} reason={reason:?}", module.name());
    assert!(take().contains(&pinned));
}
