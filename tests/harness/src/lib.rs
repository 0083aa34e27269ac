//! A VM with a scripted plugin, and services and streams that record requests to them. Shared by the tests of the
//! loader.

#![deny(unsafe_code)]

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dynvm::abi::types::{BufferType, LogLevel, MapType, StreamType};
use dynvm::host::*;
use dynvm::{CallId, ContextId, Loader, LoaderOptions, Module, PluginConfig, StartError, Vm, VmConfig};

pub mod compile;
mod linked;
pub mod sdk;

/// Which build of a plugin a test runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The shared object.
    Native,
    /// The wasm module.
    Wasm,
    /// A part of this program: the plugin `probe.c` alone, and nothing that crashes.
    Null,
}

/// The backends that run any plugin, as far as the loader is built with them.
pub const BACKENDS: &[Backend] = &[
    Backend::Native,
    #[cfg(feature = "wasm")]
    Backend::Wasm,
];

/// A loader that accepts native plugins.
pub fn loader() -> Loader {
    loader_with(|_| ())
}

/// A loader with options that a test changes.
pub fn loader_with(change: impl FnOnce(&mut LoaderOptions)) -> Loader {
    let mut options = LoaderOptions::default().allow_native();
    change(&mut options);
    Loader::with_options(options).unwrap()
}

/// The plugin `probe.c`, compiled with these macros defined.
pub fn probe(backend: Backend, defines: &[&str]) -> Module {
    if backend == Backend::Null {
        return linked::probe(defines);
    }
    loader().load_file(compile::plugin(backend, "probe.c", defines)).unwrap()
}

/// A stream that records the actions requested of it.
#[derive(Default)]
pub struct TestStream {
    /// Its header maps.
    pub maps: BTreeMap<MapType, Headers>,
    /// The answer for all other maps.
    pub absent_maps: AbsentMap,
    /// Its bodies and other buffers.
    pub buffers: BTreeMap<BufferType, Vec<u8>>,
    /// The requested actions, as text.
    pub asked: Rc<RefCell<Vec<String>>>,
    /// Properties by path.
    pub properties: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Whether the stream lacks directions that could be continued or closed.
    pub stiff: bool,
}

impl TestStream {
    /// A stream with these request headers.
    pub fn with_headers<const N: usize>(lines: [(&str, &str); N]) -> TestStream {
        TestStream::default().map(MapType::HttpRequestHeaders, Headers::from(lines))
    }

    /// A stream with this header map.
    pub fn map(mut self, map: MapType, lines: Headers) -> TestStream {
        self.maps.insert(map, lines);
        self
    }

    /// A stream with this buffer.
    pub fn buffer(mut self, buffer: BufferType, bytes: &[u8]) -> TestStream {
        self.buffers.insert(buffer, bytes.to_vec());
        self
    }

    fn ask(&self, what: String) {
        self.asked.borrow_mut().push(what);
    }
}

impl Stream for TestStream {
    fn header_map(&self, map: MapType) -> Result<&dyn HeaderMap, AbsentMap> {
        self.maps.get(&map).map(|map| map as &dyn HeaderMap).ok_or(self.absent_maps)
    }

    fn header_map_mut(&mut self, map: MapType) -> Result<&mut dyn HeaderMap, AbsentMap> {
        self.maps.get_mut(&map).map(|map| map as &mut dyn HeaderMap).ok_or(self.absent_maps)
    }

    fn buffer(&self, buffer: BufferType) -> Option<&dyn Buffer> {
        self.buffers.get(&buffer).map(|bytes| bytes as &dyn Buffer)
    }

    fn buffer_mut(&mut self, buffer: BufferType) -> Option<&mut dyn Buffer> {
        self.buffers.get_mut(&buffer).map(|bytes| bytes as &mut dyn Buffer)
    }

    fn property(&self, path: PropertyPath<'_>) -> Result<Cow<'_, [u8]>, PropertyError> {
        match path.dotted().as_str() {
            "not.serializable" => Err(PropertyError::NotSerializable),
            "internal" => Err(PropertyError::Internal),
            _ => {
                self.properties.get(path.as_bytes()).map(|value| Cow::Borrowed(&**value)).ok_or(PropertyError::NotFound)
            }
        }
    }

    fn set_property(&mut self, path: PropertyPath<'_>, value: &[u8]) -> Result<(), PropertyError> {
        self.properties.insert(path.as_bytes().to_vec(), value.to_vec());
        Ok(())
    }

    fn has_direction(&self, _: StreamType) -> bool {
        !self.stiff
    }

    fn continue_stream(&mut self, direction: StreamType) {
        self.ask(format!("continue {direction:?}"));
    }

    fn close_stream(&mut self, direction: StreamType) {
        self.ask(format!("close {direction:?}"));
    }

    fn send_local_response(&mut self, r: LocalResponse) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.ask(format!(
            "respond {} {:?} {:?} {:?} {}",
            r.status_code,
            text(&r.details),
            text(&r.body),
            r.headers,
            r.grpc_status
        ));
    }

    fn clear_route_cache(&mut self) {
        self.ask("clear route cache".to_owned());
    }

    fn fail(&mut self, direction: StreamType) {
        self.ask(format!("fail {direction:?}"));
    }

    fn call_foreign_function(&mut self, name: &[u8], arguments: &[u8]) -> Option<Result<Vec<u8>, ForeignError>> {
        match name {
            b"echo" => Some(Ok(arguments.to_vec())),
            b"refuse" => Some(Err(ForeignError::BadArgument)),
            _ => None,
        }
    }
}

/// Records calls, and refuses those whose upstream's name asks for it.
#[derive(Default)]
pub struct TestCalls {
    /// HTTP calls dispatched.
    pub http: RefCell<Vec<HttpCall>>,
    /// gRPC calls and streams opened.
    pub grpc: RefCell<Vec<GrpcCall>>,
    /// Messages sent and calls ended, as text.
    pub notes: RefCell<Vec<String>>,
}

impl TestCalls {
    /// The HTTP call with this number.
    pub fn http(&self, token: u32) -> CallId {
        self.http.borrow().iter().map(|call| call.id).find(|id| id.token() == token).unwrap()
    }

    /// The gRPC call or stream with this number.
    pub fn grpc(&self, token: u32) -> CallId {
        self.grpc.borrow().iter().map(|call| call.id).find(|id| id.token() == token).unwrap()
    }
}

fn refusal(upstream: &[u8]) -> Result<(), DispatchError> {
    match upstream {
        b"unknown" => Err(DispatchError::BadArgument),
        b"broken" => Err(DispatchError::Internal),
        _ => Ok(()),
    }
}

impl HttpCalls for TestCalls {
    fn dispatch(&self, call: HttpCall) -> Result<(), DispatchError> {
        refusal(&call.upstream)?;
        self.http.borrow_mut().push(call);
        Ok(())
    }

    fn cancel_all(&self, root: ContextId) {
        self.notes.borrow_mut().push(format!("cancel all of {root}"));
    }
}

impl GrpcCalls for TestCalls {
    fn open(&self, call: GrpcCall) -> Result<(), DispatchError> {
        refusal(&call.target.upstream)?;
        self.grpc.borrow_mut().push(call);
        Ok(())
    }

    fn send(&self, token: CallId, message: &[u8], end_stream: bool) -> Result<(), GrpcSendError> {
        self.notes.borrow_mut().push(format!("send {token} {} {end_stream}", String::from_utf8_lossy(message)));
        Ok(())
    }

    fn cancel(&self, token: CallId) {
        self.notes.borrow_mut().push(format!("cancel {token}"));
    }

    fn close(&self, token: CallId) {
        self.notes.borrow_mut().push(format!("close {token}"));
    }
}

/// Records the tick period of each root context.
#[derive(Default)]
pub struct TestTimers(
    /// Root context and period, in the order of the calls.
    pub RefCell<Vec<(u32, Option<Duration>)>>,
);

impl Timers for TestTimers {
    fn set_tick_period(&self, root: ContextId, period: Option<Duration>) {
        self.0.borrow_mut().push((root.get(), period));
    }
}

/// Records the root context that is woken for each queue.
#[derive(Default)]
pub struct TestWaker(
    /// Root context and queue, in the order of the calls.
    pub Mutex<Vec<(u32, QueueId)>>,
);

impl QueueWaker for TestWaker {
    fn wake(&self, root: ContextId, queue: QueueId) {
        self.0.lock().unwrap().push((root.get(), queue));
    }
}

/// A VM with a started plugin.
pub struct Harness {
    /// The VM.
    pub vm: Vm,
    /// The root context of its plugin.
    pub root: ContextId,
    /// The plugin's log.
    pub log: Arc<MemoryLog>,
    /// The time, set by the test.
    pub clock: Arc<ManualClock>,
    /// Calls to other services.
    pub calls: Rc<TestCalls>,
    /// Tick periods.
    pub timers: Rc<TestTimers>,
    /// Wake-ups for shared queues.
    pub waker: Arc<TestWaker>,
}

/// The services of a VM.
pub struct Parts {
    /// The plugin's log.
    pub log: Arc<MemoryLog>,
    /// The time, set by the test.
    pub clock: Arc<ManualClock>,
    /// Calls to other services.
    pub calls: Rc<TestCalls>,
    /// Tick periods.
    pub timers: Rc<TestTimers>,
    /// Wake-ups for shared queues.
    pub waker: Arc<TestWaker>,
    /// All of these, as `Services`.
    pub services: Services,
}

/// Fresh services; in-process ones where a test need not inspect them.
pub fn parts() -> Parts {
    let (log, clock, waker) =
        (Arc::new(MemoryLog::default()), Arc::new(ManualClock::default()), Arc::new(TestWaker::default()));
    let (calls, timers) = (Rc::new(TestCalls::default()), Rc::new(TestTimers::default()));
    let mut services = Services::default();
    services.log = log.clone();
    services.clock = clock.clone();
    services.random = Arc::new(SeededRandom::new(1));
    services.metrics = Arc::new(InProcessMetrics::default());
    services.shared_data = Arc::new(InProcessSharedData::default());
    services.shared_queues = Arc::new(InProcessSharedQueues::default());
    services.queue_waker = waker.clone();
    services.http_calls = calls.clone();
    services.grpc_calls = calls.clone();
    services.timers = timers.clone();
    Parts { log, clock, calls, timers, waker, services }
}

impl Harness {
    /// The probe with a script.
    pub fn new(backend: Backend, script: &str) -> Harness {
        Harness::of(&probe(backend, &[]), VmConfig::default(), script)
    }

    /// A module with this configuration of VM and plugin.
    pub fn of(module: &Module, config: VmConfig, script: &str) -> Harness {
        Harness::with(parts(), module, config, script).unwrap_or_else(|(error, _)| panic!("{error}"))
    }

    /// The same with given services; or the error of the start, with the log.
    pub fn with(
        parts: Parts,
        module: &Module,
        config: VmConfig,
        script: &str,
    ) -> Result<Harness, (StartError, Vec<String>)> {
        let Parts { log, clock, calls, timers, waker, services } = parts;
        let failed = |error| (error, lines(&log));
        let mut vm = Vm::builder(module).config(config).services(services).build().map_err(failed)?;
        let root = vm.start_plugin(PluginConfig::named("probe").configuration(script)).map_err(failed)?;
        Ok(Harness { vm, root, log, clock, calls, timers, waker })
    }

    /// A new stream of the plugin.
    pub fn stream(&mut self, stream: TestStream) -> ContextId {
        self.vm.create_stream(self.root, Box::new(stream)).unwrap()
    }

    /// The log since the last call.
    pub fn log(&self) -> Vec<String> {
        lines(&self.log)
    }

    /// Runs `on_request_headers` on a new stream, and returns the probe's log after the line of the callback itself.
    pub fn did(&mut self, stream: TestStream) -> Vec<String> {
        let id = self.stream(stream);
        self.log();
        self.vm.on_request_headers(id, 0, true);
        let lines = self.log();
        self.vm.delete_stream(id);
        self.log();
        lines[1..].to_vec()
    }
}

/// Runs a script of hostcalls in `on_request_headers`, and returns the probe's log.
pub fn did(backend: Backend, stream: TestStream, calls: &[&str]) -> Vec<String> {
    Harness::new(backend, &in_headers(calls)).did(stream)
}

/// A script with these hostcalls in `on_request_headers`.
pub fn in_headers(calls: &[&str]) -> String {
    script("on_request_headers", calls)
}

/// A script with these hostcalls in a callback.
pub fn script(callback: &str, calls: &[&str]) -> String {
    calls.iter().map(|call| format!("{callback}|{call}\n")).collect()
}

/// The lines of a log, with their level unless it is `Info`. Empties the log.
pub fn lines(log: &MemoryLog) -> Vec<String> {
    log.take()
        .into_iter()
        .map(|(level, text)| if level == LogLevel::Info { text } else { format!("[{level:?}] {text}") })
        .collect()
}
