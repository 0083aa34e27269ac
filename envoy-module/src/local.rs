//! The plugin of a configuration on one thread.
//!
//! While code of the plugin runs, its VM is in use, and nothing may enter it: what Envoy reports meanwhile, and what the
//! plugin asks for, is noted on the agenda. The agenda is worked off when the VM is free again.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dynvm::abi::types::{LogLevel, StreamType};
use dynvm::host::{HttpCallResponse, LocalResponse, QueueId, Services, Stream, Timers};
use dynvm::{CallError, CallId, ContextId, Vm, with_causes};
use dynvm_rollout::deploy::{StreamRef, Worker};

use crate::calls::{Calls, GrpcEvent, VersionCalls};
use crate::deployed::{self, Deployed};
use crate::http;
use crate::inbox::{self, Inbox, Message, Waker};
use crate::network::Connection;
use crate::timers::Ticks;

/// Something to do when the VM is free.
pub enum Todo {
    /// Resume a direction of a stream.
    Continue(Rc<http::Exchange>, StreamType),
    /// Reset a stream.
    Close(Rc<http::Exchange>),
    /// Answer a request.
    Reply(Rc<http::Exchange>, Box<LocalResponse>),
    /// End a stream whose plugin has failed.
    Fail(Rc<http::Exchange>),
    /// Resume a direction of a connection.
    ContinueConnection(Rc<Connection>, StreamType),
    /// Close a connection, for this reason.
    CloseConnection(Rc<Connection>, &'static str),
    /// Deliver the answer to an HTTP call.
    HttpAnswer(u64, CallId, HttpCallResponse),
    /// Deliver an event of a gRPC call.
    Grpc(u64, CallId, GrpcEvent),
    /// Tell of an element in a queue.
    QueueReady(u64, ContextId, QueueId),
    /// A tick.
    Tick(u64, ContextId),
}

/// What there is to do, in order.
#[derive(Default)]
pub struct Agenda(RefCell<VecDeque<Todo>>);

impl Agenda {
    /// Notes something to do.
    pub fn push(&self, todo: Todo) {
        self.0.borrow_mut().push_back(todo);
    }

    fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    fn pop(&self) -> Option<Todo> {
        self.0.borrow_mut().pop_front()
    }
}

/// What the services of a thread's VMs share.
pub struct Shared {
    /// What there is to do.
    pub agenda: Rc<Agenda>,
    /// Calls in progress.
    pub calls: Rc<Calls>,
    ticks: Ticks,
}

/// The plugin of a configuration on this thread.
pub struct Local {
    /// The configuration.
    pub deployed: Arc<Deployed>,
    /// What the services share.
    pub shared: Rc<Shared>,
    inbox: Arc<Inbox>,
    worker: RefCell<Worker>,
}

/// The plugins of this thread.
struct Thread {
    is_main: Cell<bool>,
    // By number of the configuration. Looked into for every stream, so without hashing.
    plugins: RefCell<BTreeMap<u64, Rc<Local>>>,
    /// Configurations whose plugin does not start here, with the time of the next attempt.
    failing: RefCell<BTreeMap<u64, Instant>>,
}

/// Delay between attempts to start a plugin on a thread.
const START_RETRY: Duration = Duration::from_secs(1);

thread_local! {
    // Not dropped with the thread: the VMs use thread-local variables that may be gone by then. Configurations end before
    // their threads, except when Envoy ends.
    static THREAD: ManuallyDrop<Thread> = const {
        ManuallyDrop::new(Thread {
            is_main: Cell::new(false),
            plugins: RefCell::new(BTreeMap::new()),
            failing: RefCell::new(BTreeMap::new()),
        })
    };
}

/// Notes that this thread is Envoy's main thread.
pub fn this_is_main() {
    THREAD.with(|thread| thread.is_main.set(true));
}

/// True on Envoy's main thread.
pub fn is_main() -> bool {
    THREAD.with(|thread| thread.is_main.get())
}

/// Looks into the inboxes and at the clock of every plugin of this thread, and starts the plugins that it does not have.
pub fn look_after_all() {
    let deployed = deployed::all();
    deployed.iter().for_each(|deployed| drop(Local::of(deployed)));
    let plugins: Vec<Rc<Local>> = THREAD.with(|thread| thread.plugins.borrow().values().cloned().collect());
    plugins.iter().for_each(|local| local.look_after());
    end_retired();
}

/// Ends the plugins of this thread whose configuration is gone and which have no stream.
pub fn end_retired() {
    let ended: Vec<Rc<Local>> = THREAD.with(|thread| {
        let mut plugins = thread.plugins.borrow_mut();
        plugins
            .extract_if(.., |_, local| local.deployed.is_retired() && Rc::strong_count(local) == 1)
            .map(|(_, l)| l)
            .collect()
    });
    ended.iter().for_each(|local| local.end());
}

impl Local {
    /// The plugin of a configuration on this thread, started if need be. `None`: it does not start, which is in the log.
    pub fn of(deployed: &Arc<Deployed>) -> Option<Rc<Local>> {
        let known = THREAD.with(|thread| thread.plugins.borrow().get(&deployed.id).cloned());
        known.or_else(|| Local::start(deployed))
    }

    #[cold]
    fn start(deployed: &Arc<Deployed>) -> Option<Rc<Local>> {
        let now = Instant::now();
        let waits = THREAD.with(|thread| thread.failing.borrow().get(&deployed.id).is_some_and(|at| now < *at));
        if waits {
            return None;
        }
        end_retired();
        let is_main = is_main();
        let inbox = if is_main { deployed.main_inbox.clone() } else { Inbox::of_worker() };
        let agenda = Rc::<Agenda>::default();
        let calls = Rc::new(Calls::new(deployed.clone(), inbox.clone(), agenda.clone(), is_main));
        let shared = Rc::new(Shared { agenda, calls, ticks: Ticks::new(inbox.clone()) });
        let services = {
            let (deployed, shared, inbox) = (deployed.clone(), shared.clone(), inbox.clone());
            move |version| services(&deployed, &shared, &inbox, version)
        };
        match deployed.deployment.worker(services) {
            Ok(worker) => {
                let local = Local { deployed: deployed.clone(), shared, inbox, worker: RefCell::new(worker) };
                let local = Rc::new(local);
                THREAD.with(|thread| {
                    thread.failing.borrow_mut().remove(&deployed.id);
                    thread.plugins.borrow_mut().insert(deployed.id, local.clone());
                });
                local.work_off();
                Some(local)
            }
            Err(error) => {
                deployed.log(LogLevel::Error, &format!("does not start on this thread: {}", with_causes(&error)));
                THREAD.with(|thread| thread.failing.borrow_mut().insert(deployed.id, now + START_RETRY));
                None
            }
        }
    }

    /// Creates a stream context.
    pub fn create_stream(&self, stream: Box<dyn Stream>) -> Option<StreamRef> {
        let created: Result<StreamRef, CallError> = self.worker.try_borrow_mut().ok()?.create_stream(stream);
        created.ok()
    }

    /// Runs code of the VM of a stream. `None`: the stream has no VM any more, or it is in use.
    pub fn run<R>(&self, stream: StreamRef, code: impl FnOnce(&mut Vm) -> R) -> Option<R> {
        let mut worker = self.worker.try_borrow_mut().ok()?;
        worker.vm_of(stream).map(code)
    }

    /// Ends a stream context.
    pub fn end_stream(&self, stream: StreamRef) {
        if let Ok(mut worker) = self.worker.try_borrow_mut() {
            worker.end(stream);
        }
    }

    /// Looks into the inbox and at the clock, and works off the agenda.
    pub fn look_after(&self) {
        if !self.inbox.is_empty() {
            self.read_inbox();
        }
        if self.shared.ticks.are_set() {
            for (version, root) in self.shared.ticks.take_due() {
                self.shared.agenda.push(Todo::Tick(version, root));
            }
        }
        self.work_off();
        if let Ok(mut worker) = self.worker.try_borrow_mut() {
            worker.poll();
        }
    }

    #[cold]
    fn read_inbox(&self) {
        for message in self.inbox.take() {
            match message {
                Message::QueueReady { version, root, queue } => {
                    self.shared.agenda.push(Todo::QueueReady(version, root, queue));
                }
                Message::CallEvent(key, event) => self.shared.calls.on_event(key, event),
                Message::CallOrder(key, order, origin) => self.shared.calls.carry_out(key, order, &origin),
            }
        }
    }

    /// Works off the agenda, unless code of the plugin runs: then what runs it does so afterwards.
    #[inline]
    pub fn work_off(&self) {
        if !self.shared.agenda.is_empty() {
            self.work_off_all();
        }
    }

    fn work_off_all(&self) {
        while self.worker.try_borrow_mut().is_ok() {
            let Some(todo) = self.shared.agenda.pop() else { return };
            self.carry_out(todo);
        }
    }

    fn carry_out(&self, todo: Todo) {
        match todo {
            Todo::Continue(exchange, direction) => exchange.continue_direction(self, direction),
            Todo::Close(exchange) => exchange.close(),
            Todo::Reply(exchange, response) => exchange.reply(self, *response),
            Todo::Fail(exchange) => exchange.fail(),
            Todo::ContinueConnection(connection, direction) => connection.continue_direction(direction),
            Todo::CloseConnection(connection, reason) => connection.close(reason),
            // Errors: the VM has failed or ended since, and nobody waits.
            Todo::HttpAnswer(version, call, response) => {
                self.of_version(version, |vm| drop(vm.on_http_call_response(call, response)));
            }
            Todo::Grpc(version, call, event) => self.of_version(version, |vm| event.deliver(vm, call)),
            Todo::QueueReady(version, root, queue) => self.of_version(version, |vm| vm.on_queue_ready(root, queue)),
            Todo::Tick(version, root) => self.of_version(version, |vm| vm.on_tick(root)),
        }
    }

    fn of_version(&self, version: u64, code: impl FnOnce(&mut Vm)) {
        if let Ok(mut worker) = self.worker.try_borrow_mut()
            && let Some((vm, _)) = worker.vm(version)
        {
            code(vm);
        }
    }

    /// Stops the plugin, whose configuration is gone.
    fn end(&self) {
        if let Ok(mut worker) = self.worker.try_borrow_mut() {
            let version = worker.version();
            if let Some((vm, root)) = worker.vm(version) {
                // A plugin that asks for time does not get it: its host is gone.
                let _ = vm.stop_plugin(root);
            }
        }
    }
}

/// The services of a version on this thread.
fn services(deployed: &Arc<Deployed>, shared: &Rc<Shared>, inbox: &Arc<Inbox>, version: u64) -> Services {
    let mut services = deployed.services();
    let calls = Rc::new(VersionCalls { version, calls: shared.calls.clone() });
    services.http_calls = calls.clone();
    services.grpc_calls = calls;
    services.timers = Rc::new(VersionTimers { version, shared: shared.clone(), deployed: deployed.clone() });
    services.queue_waker = Arc::new(Waker { inbox: inbox.clone(), version });
    services
}

struct VersionTimers {
    version: u64,
    shared: Rc<Shared>,
    deployed: Arc<Deployed>,
}

impl Timers for VersionTimers {
    fn set_tick_period(&self, root: ContextId, period: Option<Duration>) {
        if period.is_some() && !is_main() && !inbox::reaches_workers() {
            let text = "ticks on this worker come only with its requests, as no cluster of this module is configured or \
                        this Envoy is older than 1.39 (docs/envoy.md, \"Idle workers\")";
            self.deployed.log(LogLevel::Warn, text);
        }
        self.shared.ticks.set(self.version, root, period);
    }
}
