//! Recording of a stream: inputs and behavior of the serving plugin.

use std::cell::RefCell;
use std::rc::Rc;

use dynvm::abi::types::{LogLevel, PeerType, Status};
use dynvm::call_trace::{Event, Named, Value};
use dynvm::host::HttpCallResponse;
use dynvm::{BackendKind, CallId, ContextId, Vm, VmId};

use super::Arm;
use super::snapshot::{Change, View};
use crate::deploy::StreamRef;

/// A recorded stream, from its creation to its end.
pub(super) struct Recording {
    /// The arm that serves it.
    pub(super) arm: Arm,
    pub(super) backend: BackendKind,
    pub(super) version: u64,
    /// Number of the stream among those recorded.
    pub(super) number: u64,
    pub(super) log_level: LogLevel,
    pub(super) steps: Vec<Step>,
    /// Its pending HTTP calls, by VM and token.
    calls: Vec<(VmId, u32)>,
    /// Reason why the recording cannot be compared.
    pub(super) spoiled: Option<Spoiled>,
    context: Option<ContextId>,
    view: View,
    size: usize,
    max_size: usize,
}

/// Why a recording cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoiled {
    /// It exceeds the size limit.
    TooLarge,
    /// It made gRPC calls, which are not replayed.
    Grpc,
    /// The VM that serves it failed.
    Failed,
}

/// A recorded callback.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) callback: &'static str,
    pub(super) arguments: Vec<Named>,
    /// Changes made by the host before the callback.
    pub(super) arrived: Vec<Change>,
    /// The answer to a call, with the serving plugin's token.
    pub(super) answer: Option<(u32, HttpCallResponse)>,
    pub(super) hostcalls: Vec<Event>,
    pub(super) returned: Option<u32>,
    /// Changes made by the callback.
    pub(super) changed: Vec<Change>,
    /// The host's clock when the callback began, in nanoseconds.
    pub(super) realtime: u64,
    pub(super) monotonic: u64,
}

/// A tracer that collects a VM's events.
#[derive(Clone, Default)]
pub(super) struct Collector(Rc<RefCell<Vec<Event>>>);

impl Collector {
    pub(super) fn attach(&self, vm: &mut Vm) {
        let events = self.0.clone();
        vm.set_tracer(Some(Box::new(move |event| events.borrow_mut().push(event))));
    }

    pub(super) fn detach(&self, vm: &mut Vm) -> Vec<Event> {
        vm.set_tracer(None);
        self.0.take()
    }
}

impl Recording {
    pub(super) fn new(arm: Arm, vm: &Vm, version: u64, number: u64, max_size: usize) -> Recording {
        Recording {
            arm,
            backend: vm.module().backend(),
            version,
            number,
            log_level: vm.services().log.level(),
            steps: Vec::new(),
            calls: Vec::new(),
            spoiled: None,
            context: None,
            view: View::default(),
            size: 0,
            max_size,
        }
    }

    /// Records one action of the host on the stream, usually one callback. `context` is the
    /// stream's context, once it has one.
    pub(super) fn record<R>(
        &mut self,
        vm: &mut Vm,
        context: Option<ContextId>,
        answer: Option<(u32, HttpCallResponse)>,
        act: impl FnOnce(&mut Vm) -> R,
    ) -> R {
        if self.spoiled.is_some() {
            return act(vm);
        }
        let arrived = self.look(vm, context);
        let (realtime, monotonic) = (vm.services().clock.realtime_ns(), vm.services().clock.monotonic_ns());
        let collector = Collector::default();
        collector.attach(vm);
        let done = act(vm);
        let before = self.steps.len();
        let events = collector.detach(vm);
        self.take(vm.id(), events);
        if let Some(first) = self.steps.get_mut(before) {
            (first.arrived, first.answer) = (arrived, answer);
            let changed = self.look(vm, context);
            for step in &mut self.steps[before..] {
                (step.realtime, step.monotonic) = (realtime, monotonic);
            }
            if let Some(last) = self.steps.last_mut() {
                last.changed = changed;
            }
        } else {
            // Without a callback, the change arrives with the next one.
            arrived.iter().for_each(|change| self.forget(change));
        }
        if vm.has_failed() {
            self.spoiled = Some(Spoiled::Failed);
        }
        self.weigh(before);
        done
    }

    /// Called when the stream has been created.
    pub(super) fn begun(&mut self, stream: StreamRef) {
        (self.version, self.context) = (stream.version(), Some(stream.context()));
    }

    /// Whether the stream made this call. True only once, because the call is then complete.
    pub(super) fn take_call(&mut self, call: CallId) -> bool {
        let index = self.calls.iter().position(|known| *known == (call.vm(), call.token()));
        index.map(|index| self.calls.swap_remove(index)).is_some()
    }

    /// The stream's context.
    pub(super) fn context(&self) -> Option<ContextId> {
        self.context
    }

    fn look(&mut self, vm: &Vm, context: Option<ContextId>) -> Vec<Change> {
        let view = context.and_then(|context| vm.with_stream(context, View::of));
        view.map(|view| self.view.become_view(view)).unwrap_or_default()
    }

    /// Marks a change as unseen.
    fn forget(&mut self, change: &Change) {
        match change {
            Change::Map(index, _) => self.view.maps[*index] = None,
            Change::Buffer(index, _) => self.view.buffers[*index] = None,
        }
    }

    /// Adds traced events.
    fn take(&mut self, vm: VmId, events: Vec<Event>) {
        for event in events {
            match event {
                Event::CallbackEnter { name, arguments } => self.steps.push(Step::new(name, arguments)),
                Event::CallbackLeave { returned, .. } => {
                    if let Some(step) = self.steps.last_mut() {
                        step.returned = returned;
                    }
                }
                Event::Hostcall { name, status, ref results, .. } => {
                    match (name, status) {
                        ("proxy_http_call", Status::Ok) => {
                            self.calls.extend(number(results, "token").map(|token| (vm, token)));
                        }
                        ("proxy_grpc_call" | "proxy_grpc_stream", _) => self.spoiled = Some(Spoiled::Grpc),
                        _ => {}
                    }
                    if let Some(step) = self.steps.last_mut() {
                        step.hostcalls.push(event);
                    }
                }
                _ => {}
            }
        }
    }

    fn weigh(&mut self, from: usize) {
        self.size += self.steps[from..].iter().map(Step::size).sum::<usize>();
        if self.size > self.max_size {
            self.spoiled = Some(Spoiled::TooLarge);
            self.steps.clear();
        }
    }
}

impl Step {
    fn new(callback: &'static str, arguments: Vec<Named>) -> Step {
        Step {
            callback,
            arguments,
            arrived: Vec::new(),
            answer: None,
            hostcalls: Vec::new(),
            returned: None,
            changed: Vec::new(),
            realtime: 0,
            monotonic: 0,
        }
    }

    /// A boolean argument of the callback.
    pub(super) fn flag(&self, name: &str) -> bool {
        number(&self.arguments, name) == Some(1)
    }

    /// The token of the first HTTP call made in the callback.
    pub(super) fn first_token(&self) -> Option<u32> {
        self.hostcalls.iter().find_map(|event| match event {
            Event::Hostcall { name: "proxy_http_call", results, .. } => number(results, "token"),
            _ => None,
        })
    }

    /// A numeric argument of the callback.
    pub(super) fn number(&self, name: &str) -> usize {
        number(&self.arguments, name).unwrap_or_default() as usize
    }

    /// The peer that closed the connection.
    pub(super) fn peer(&self) -> PeerType {
        number(&self.arguments, "close_type").and_then(PeerType::from_u32).unwrap_or(PeerType::Unknown)
    }

    fn size(&self) -> usize {
        let changes: usize = self.arrived.iter().chain(&self.changed).map(Change::size).sum();
        let hostcalls: usize = self.hostcalls.iter().map(size_of_event).sum();
        let answer = self.answer.as_ref().map_or(0, |(_, answer)| answer.body.len());
        size_of::<Step>() + changes + hostcalls + answer
    }
}

fn size_of_event(event: &Event) -> usize {
    let Event::Hostcall { arguments, results, .. } = event else { return 0 };
    let values = arguments.iter().chain(results).map(|(_, value)| match value {
        Value::Bytes(bytes) => bytes.len() + size_of::<Named>(),
        _ => size_of::<Named>(),
    });
    size_of::<Event>() + values.sum::<usize>()
}

/// A number among arguments or results.
pub(super) fn number(values: &[Named], name: &str) -> Option<u32> {
    values.iter().find_map(|(known, value)| match value {
        Value::Number(number) if *known == name => u32::try_from(*number).ok(),
        _ => None,
    })
}
