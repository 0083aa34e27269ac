//! A simulated proxy with the plugin under test.

use std::cell::{Cell, RefCell, RefMut};
use std::time::Duration;

use dynvm::abi::types::LogLevel;
use dynvm::call_trace::Event;
use dynvm::{BackendKind, CallError, Failure, RootDone};
use dynvm_sim::{Connection, MadeCall, Request, SimProxy, SimProxyBuilder, TcpExchange};

use crate::transcript::Transcript;
use crate::{Exchange, TestStream};

/// A simulated proxy with one plugin in one VM, on one thread. Nothing happens on its own, and the
/// clock stands still: the test sends traffic, answers calls and advances the clock.
///
/// If dropped during a panic, it prints the plugin's calls and log.
pub struct TestHost {
    host: RefCell<SimProxy>,
    name: String,
    backend: BackendKind,
    pub(crate) transcript: Transcript,
    may_fail: bool,
    log: RefCell<Vec<(LogLevel, String)>>,
    calls: RefCell<Vec<MadeCall>>,
    reloads: Cell<u64>,
}

impl TestHost {
    pub(crate) fn new(
        host: SimProxy,
        name: &str,
        backend: BackendKind,
        transcript: Transcript,
        may_fail: bool,
    ) -> TestHost {
        TestHost {
            host: RefCell::new(host),
            name: name.to_owned(),
            backend,
            transcript,
            may_fail,
            log: RefCell::default(),
            calls: RefCell::default(),
            reloads: Cell::new(0),
        }
    }

    /// The backend of the plugin.
    pub fn backend(&self) -> BackendKind {
        self.backend
    }

    pub(crate) fn share_with(&self, builder: SimProxyBuilder) -> SimProxyBuilder {
        builder.sharing(&self.host.borrow())
    }

    pub(crate) fn memory(&self) -> RefMut<'_, SimProxy> {
        self.host.borrow_mut()
    }
}

/// Traffic and time. Each method panics if the plugin fails, unless it [may](crate::Plugin::may_fail).
impl TestHost {
    /// Sends a request through the plugin to the upstream and the response back, advancing the
    /// clock as far as a paused stream needs for prepared answers and ticks. The upstream sends the
    /// response set in the request, or 200 with the request's body.
    #[track_caller]
    pub fn send(&self, request: Request) -> Exchange {
        let stream = self.open_with(&request.properties);
        self.transcript.note(format!("the client sends {}", crate::stream::title(&request)));
        let exchange = self.drive(|host| host.send_on(stream, request));
        Exchange::new(exchange)
    }

    /// Opens a stream that receives its parts one by one.
    #[track_caller]
    pub fn open(&self) -> TestStream<'_> {
        TestStream::new(self, self.open_with(&[]))
    }

    /// The same with properties of the stream, by dotted path.
    #[track_caller]
    pub fn open_having<P: Into<crate::PropertyValue>>(
        &self,
        properties: impl IntoIterator<Item = (&'static str, P)>,
    ) -> TestStream<'_> {
        let properties: Vec<_> =
            properties.into_iter().map(|(path, value)| (path.to_owned(), value.into().into_bytes())).collect();
        TestStream::new(self, self.open_with(&properties))
    }

    #[track_caller]
    fn open_with(&self, properties: &[(String, Vec<u8>)]) -> dynvm_sim::HttpStream {
        self.transcript.note("a stream is opened");
        let opened = self.drive(|host| host.open(properties));
        self.follow_reload();
        self.started(opened)
    }

    /// Runs a TCP connection through the plugin.
    #[track_caller]
    pub fn connect(&self, connection: Connection) -> TcpExchange {
        self.transcript.note("a client connects");
        let exchange = self.drive(|host| host.connect(connection));
        self.started(exchange)
    }

    /// Advances the clock and delivers the events that are due on the way: answers to calls,
    /// timeouts, ticks, queue events.
    #[track_caller]
    pub fn advance(&self, by: Duration) {
        self.transcript.note(format!("{by:?} pass"));
        self.drive(|host| host.advance(by));
    }

    /// Stops the plugin: `proxy_on_done` of its root context and, unless it asks for time, `proxy_on_delete`.
    #[track_caller]
    pub fn stop(&self) -> RootDone {
        self.transcript.note("the plugin is stopped");
        let stopped = self.drive(SimProxy::stop);
        self.started(stopped)
    }

    /// Runs an action on the host, and fails the test if the plugin failed.
    #[track_caller]
    pub(crate) fn drive<R>(&self, act: impl FnOnce(&mut SimProxy) -> R) -> R {
        let (done, failure) = {
            let mut host = self.host.borrow_mut();
            let done = act(&mut host);
            (done, host.failure())
        };
        if let Some(failure) = failure
            && !self.may_fail
        {
            panic!("{} failed on {}: {}", self.name, self.backend, self.explain(&failure));
        }
        done
    }

    #[track_caller]
    fn started<R>(&self, result: Result<R, CallError>) -> R {
        match result {
            Ok(result) => result,
            Err(error) => panic!("the plugin has been stopped: {}", dynvm::with_causes(&error)),
        }
    }

    /// A failure with the plugin's panic message: Rust's panic messages go to the log, and the
    /// failure itself is an abort.
    fn explain(&self, failure: &Failure) -> String {
        let mut text = failure.message.clone();
        // The first panic is the cause; later ones follow from it (a panic that cannot unwind).
        let said = self.log().into_iter().find(|(_, line)| line.contains("panicked at"));
        if let Some((_, line)) = said.filter(|(_, line)| !text.contains(line.as_str())) {
            text = format!("{line}\n{text}");
        }
        text
    }

    /// A VM that replaced a failed one has no tracer yet.
    fn follow_reload(&self) {
        let mut host = self.host.borrow_mut();
        let reloads = host.plugin().stats().reload_success;
        if self.reloads.replace(reloads) != reloads {
            host.vm().set_tracer(Some(self.transcript.tracer()));
            self.transcript.note("the failed VM has been replaced; the start of the new one is not shown");
        }
    }
}

/// Observations.
impl TestHost {
    /// All messages logged since the start, by the plugin and about it.
    pub fn log(&self) -> Vec<(LogLevel, String)> {
        let mut log = self.log.borrow_mut();
        log.extend(self.host.borrow().take_log());
        log.clone()
    }

    /// Asserts that a log message contains this text.
    #[track_caller]
    pub fn assert_logged(&self, part: &str) {
        assert!(self.has_logged(part), "no message in the log contains {part:?}");
    }

    /// Asserts that no log message contains this text.
    #[track_caller]
    pub fn assert_not_logged(&self, part: &str) {
        assert!(!self.has_logged(part), "a message in the log contains {part:?}");
    }

    fn has_logged(&self, part: &str) -> bool {
        self.log().iter().any(|(_, text)| text.contains(part))
    }

    /// Every call that the plugin made since the start, including refused ones.
    pub fn made_calls(&self) -> Vec<MadeCall> {
        let mut calls = self.calls.borrow_mut();
        calls.extend(self.host.borrow().take_calls());
        calls.clone()
    }

    /// Every callback and hostcall since the start, decoded.
    pub fn events(&self) -> Vec<Event> {
        self.transcript.events()
    }

    /// Number of calls of a hostcall since the start, e.g. `proxy_set_shared_data`.
    pub fn hostcalls(&self, hostcall: &str) -> usize {
        self.events().iter().filter(|event| matches!(event, Event::Hostcall { name, .. } if *name == hostcall)).count()
    }

    /// The failure of the VM, if it failed and was not replaced.
    pub fn failure(&self) -> Option<Failure> {
        self.host.borrow_mut().failure()
    }

    /// The plugin's calls and log as text, printed when a test fails.
    pub fn transcript(&self) -> String {
        let mut text = format!("transcript of {} on {}:\n{}", self.name, self.backend, self.transcript);
        let log = self.log();
        if !log.is_empty() {
            text += "its log:\n";
        }
        for (level, line) in log {
            text += &format!("  [{}] {}\n", level.name().to_lowercase(), line.trim_end());
        }
        text
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        // If the panic comes from inside the host, its state is not readable.
        if std::thread::panicking() && self.host.try_borrow_mut().is_ok() {
            eprintln!("\n{}", self.transcript());
        }
    }
}
