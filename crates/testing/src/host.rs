//! A proxy in memory with the plugin under test.

use std::cell::{Cell, RefCell, RefMut};
use std::time::Duration;

use dynvm::abi::types::LogLevel;
use dynvm::call_trace::Event;
use dynvm::{BackendKind, CallError, Failure, RootDone};
use dynvm_sim::{Connection, MadeCall, Request, SimProxy, SimProxyBuilder, TcpExchange};

use crate::transcript::Transcript;
use crate::{Exchange, TestStream};

/// A proxy in memory with one plugin in one VM, on one thread. Nothing happens in it by itself, and its clock stands still: a test makes
/// traffic, answers calls and moves the clock.
///
/// Dropped while a test panics, it prints what the plugin did and logged.
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

    /// What runs the plugin.
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

/// Traffic and time. Each of these panics if the plugin fails in it, unless it [may](crate::Plugin::may_fail).
impl TestHost {
    /// Takes a request through the plugin to the upstream and the response back, moving the clock as far as a paused stream has to wait for
    /// prepared answers and ticks. The upstream answers what the request says, else 200 and the request's own body.
    #[track_caller]
    pub fn send(&self, request: Request) -> Exchange {
        let stream = self.open_with(&request.properties);
        self.transcript.note(format!("the client sends {}", crate::stream::title(&request)));
        let exchange = self.drive(|host| host.send_on(stream, request));
        Exchange::new(exchange)
    }

    /// Opens a stream on which things arrive one by one.
    #[track_caller]
    pub fn open(&self) -> TestStream<'_> {
        TestStream::new(self, self.open_with(&[]))
    }

    /// The same with properties of the stream, by their paths with dots.
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

    /// Takes a TCP connection through the plugin.
    #[track_caller]
    pub fn connect(&self, connection: Connection) -> TcpExchange {
        self.transcript.note("a client connects");
        let exchange = self.drive(|host| host.connect(connection));
        self.started(exchange)
    }

    /// Moves the clock forward, delivering what falls due on the way: answers to calls, timeouts, ticks, queue events.
    #[track_caller]
    pub fn advance(&self, by: Duration) {
        self.transcript.note(format!("{by:?} pass"));
        self.drive(|host| host.advance(by));
    }

    /// Ends the plugin: `proxy_on_done` of its root and, unless it asks for time, `proxy_on_delete`.
    #[track_caller]
    pub fn stop(&self) -> RootDone {
        self.transcript.note("the plugin is stopped");
        let stopped = self.drive(SimProxy::stop);
        self.started(stopped)
    }

    /// Does something with the host, and fails the test if the plugin failed.
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

    /// A failure with what the plugin said last: Rust's panic messages go to the log, and the failure itself is an abort.
    fn explain(&self, failure: &Failure) -> String {
        let mut text = failure.message.clone();
        // The first one: what follows it follows from it (a panic that cannot unwind).
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
            self.transcript.note("the failed VM has been replaced; what the new one did to start is not shown");
        }
    }
}

/// What there was to see.
impl TestHost {
    /// All that was logged since the start, by the plugin and about it.
    pub fn log(&self) -> Vec<(LogLevel, String)> {
        let mut log = self.log.borrow_mut();
        log.extend(self.host.borrow().take_log());
        log.clone()
    }

    /// Asserts that some message has this in it.
    #[track_caller]
    pub fn assert_logged(&self, part: &str) {
        assert!(self.has_logged(part), "no message in the log has {part:?} in it");
    }

    /// Asserts that no message has this in it.
    #[track_caller]
    pub fn assert_not_logged(&self, part: &str) {
        assert!(!self.has_logged(part), "a message in the log has {part:?} in it");
    }

    fn has_logged(&self, part: &str) -> bool {
        self.log().iter().any(|(_, text)| text.contains(part))
    }

    /// Every call that the plugin made since the start, also those that were refused.
    pub fn made_calls(&self) -> Vec<MadeCall> {
        let mut calls = self.calls.borrow_mut();
        calls.extend(self.host.borrow().take_calls());
        calls.clone()
    }

    /// Every callback and hostcall since the start, decoded.
    pub fn events(&self) -> Vec<Event> {
        self.transcript.events()
    }

    /// How often the plugin made a hostcall since the start: `proxy_set_shared_data`.
    pub fn hostcalls(&self, hostcall: &str) -> usize {
        self.events().iter().filter(|event| matches!(event, Event::Hostcall { name, .. } if *name == hostcall)).count()
    }

    /// How the VM failed, if it did and has not been replaced.
    pub fn failure(&self) -> Option<Failure> {
        self.host.borrow_mut().failure()
    }

    /// What the plugin did and logged, for people: what is printed when a test fails.
    pub fn transcript(&self) -> String {
        let mut text = format!("what {} did on {}:\n{}", self.name, self.backend, self.transcript);
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
        // Where the panic came from inside of the host, there is nothing to be read.
        if std::thread::panicking() && self.host.try_borrow_mut().is_ok() {
            eprintln!("\n{}", self.transcript());
        }
    }
}
