//! The calls of a plugin on one thread, and how each is carried.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::{Arc, Weak as SyncWeak};

use dynvm::host::{DispatchError, GrpcSendError, HttpCallResponse};
use dynvm::{CallId, ContextId};

use super::{CallEvent, CallOrder, CallStart, grpc};
use crate::abi::call::StartError;
use crate::deployed::Deployed;
use crate::http::Exchange;
use crate::inbox::{self, Inbox, Message};
use crate::local::{Agenda, Todo};

/// A call in progress.
pub(super) struct Call {
    version: u64,
    kind: Kind,
    carrier: Carrier,
}

/// What kind of call it is, and what of its response is there.
pub(super) enum Kind {
    Http { id: CallId, root: ContextId, response: HttpCallResponse },
    Grpc(Box<grpc::Progress>),
}

/// Who makes the call in Envoy.
enum Carrier {
    /// A stream of this thread, under Envoy's number.
    Stream(Weak<Exchange>, Rc<Cell<u64>>),
    /// The configuration, on the main thread.
    Main,
}

impl Call {
    pub(super) fn new(version: u64, kind: Kind) -> Call {
        Call { version, kind, carrier: Carrier::Main }
    }
}

/// A call that the main thread makes.
struct Carried {
    /// The number of its thread for it.
    key: u64,
    /// Its thread.
    origin: Arc<Inbox>,
}

/// The calls of a plugin on one thread.
pub struct Calls {
    deployed: SyncWeak<Deployed>,
    main_inbox: Arc<Inbox>,
    inbox: Arc<Inbox>,
    agenda: Rc<Agenda>,
    is_main: bool,
    /// The stream in whose callback the plugin runs.
    stream: RefCell<Option<Rc<Exchange>>>,
    table: RefCell<HashMap<u64, Call>>,
    last: Cell<u64>,
    /// Of the main thread: the calls of all threads, by Envoy's number.
    carried: RefCell<HashMap<u64, Carried>>,
    /// Of the main thread: the call that Envoy is being asked to start.
    starting: RefCell<Option<Carried>>,
}

impl Calls {
    /// No calls yet.
    pub fn new(deployed: Arc<Deployed>, inbox: Arc<Inbox>, agenda: Rc<Agenda>, is_main: bool) -> Calls {
        Calls {
            deployed: Arc::downgrade(&deployed),
            main_inbox: deployed.main_inbox.clone(),
            inbox,
            agenda,
            is_main,
            stream: RefCell::default(),
            table: RefCell::default(),
            last: Cell::default(),
            carried: RefCell::default(),
            starting: RefCell::default(),
        }
    }

    /// Sets the stream that makes calls, and returns the one before.
    pub fn set_stream(&self, stream: Option<Rc<Exchange>>) -> Option<Rc<Exchange>> {
        self.stream.replace(stream)
    }

    /// Starts a call, and returns its key.
    pub(super) fn start(&self, mut call: Call, start: CallStart, outlives_streams: bool) -> Result<u64, DispatchError> {
        let key = self.last.get() + 1;
        self.last.set(key);
        let stream = self.stream.borrow().clone().filter(|stream| stream.filter.is_alive());
        // Events of a call for the configuration reach a worker at once only if it can be woken.
        match stream.filter(|_| !outlives_streams || !(self.is_main || inbox::reaches_workers())) {
            Some(stream) => {
                let id = Rc::<Cell<u64>>::default();
                call.carrier = Carrier::Stream(Rc::downgrade(&stream), id.clone());
                self.table.borrow_mut().insert(key, call);
                let outer = stream.starting.replace(Some(key));
                let started = stream.filter.start_call(&id, &start);
                stream.starting.set(outer);
                if let Err(error) = started {
                    self.table.borrow_mut().remove(&key);
                    return Err(match error {
                        StartError::BadArgument => DispatchError::BadArgument,
                        StartError::Internal => DispatchError::Internal,
                    });
                }
                if self.table.borrow().contains_key(&key) {
                    stream.calls.borrow_mut().push((id.get(), key));
                }
            }
            None => {
                self.table.borrow_mut().insert(key, call);
                self.order(key, CallOrder::Start(start));
            }
        }
        Ok(key)
    }

    /// Has Envoy do something with a call.
    pub(super) fn order(&self, key: u64, order: CallOrder) {
        let table = self.table.borrow();
        let carrier = table.get(&key).map(|call| &call.carrier);
        if let Some(Carrier::Stream(stream, id)) = carrier {
            let (stream, id) = (stream.upgrade(), id.get());
            // Envoy may run hooks inside, which look into the table.
            drop(table);
            let Some(stream) = stream else { return };
            match order {
                CallOrder::Start(_) => {}
                CallOrder::Data(data, end) => {
                    stream.filter.send_call_data(id, &data, end);
                }
                CallOrder::Trailers(trailers) => {
                    stream.filter.send_call_trailers(id, &trailers);
                }
                CallOrder::Reset => stream.filter.reset_call(id),
            }
            return;
        }
        drop(table);
        // Also on the main thread itself: the order is carried out after the callback.
        self.main_inbox.post(Message::CallOrder(key, order, self.inbox.clone()));
    }

    /// Carries out an order for a call that this, the main thread, makes for a thread.
    pub fn carry_out(&self, key: u64, order: CallOrder, origin: &Arc<Inbox>) {
        let Some(deployed) = self.deployed.upgrade() else { return };
        let config = &deployed.config;
        if let CallOrder::Start(start) = order {
            let id = Cell::new(0);
            *self.starting.borrow_mut() = Some(Carried { key, origin: origin.clone() });
            let started = config.start_call(&id, &start);
            // Taken if the call has ended already.
            let Some(carried) = self.starting.take() else { return };
            match started {
                Ok(()) => drop(self.carried.borrow_mut().insert(id.get(), carried)),
                Err(_) => self.tell(&carried, CallEvent::Reset),
            }
            return;
        }
        let id = self
            .carried
            .borrow()
            .iter()
            .find_map(|(id, carried)| (carried.key == key && Arc::ptr_eq(&carried.origin, origin)).then_some(*id));
        let Some(id) = id else { return };
        match order {
            CallOrder::Start(_) => {}
            CallOrder::Data(data, end) => {
                config.send_call_data(id, &data, end);
            }
            CallOrder::Trailers(trailers) => {
                config.send_call_trailers(id, &trailers);
            }
            CallOrder::Reset => {
                self.carried.borrow_mut().remove(&id);
                config.reset_call(id);
            }
        }
    }

    /// An event of a call that this, the main thread, makes.
    pub fn on_carried_event(&self, id: u64, event: CallEvent) {
        let ends = matches!(event, CallEvent::Complete | CallEvent::Reset);
        let known = self.carried.borrow_mut().remove(&id);
        let was_known = known.is_some();
        // Unknown: one that ended inside its start.
        let Some(carried) = known.or_else(|| self.starting.take()) else { return };
        self.tell(&carried, event);
        if ends {
            return;
        }
        match was_known {
            true => drop(self.carried.borrow_mut().insert(id, carried)),
            false => *self.starting.borrow_mut() = Some(carried),
        }
    }

    fn tell(&self, carried: &Carried, event: CallEvent) {
        if Arc::ptr_eq(&carried.origin, &self.inbox) {
            self.on_event(carried.key, event);
        } else {
            carried.origin.post(Message::CallEvent(carried.key, event));
        }
    }

    /// An event of a call that a stream makes.
    pub fn on_stream_event(&self, stream: &Exchange, id: u64, event: CallEvent) {
        let known = stream.calls.borrow().iter().find_map(|(of, key)| (*of == id).then_some(*key));
        if let Some(key) = known.or(stream.starting.get()) {
            if matches!(event, CallEvent::Complete | CallEvent::Reset) {
                stream.calls.borrow_mut().retain(|(of, _)| *of != id);
            }
            self.on_event(key, event);
        }
    }

    /// A stream has ended, and with it its calls.
    pub fn stream_ended(&self, stream: &Exchange) {
        let calls = stream.calls.take();
        calls.into_iter().for_each(|(_, key)| self.on_event(key, CallEvent::Reset));
    }

    /// An event of a call of this thread. What the plugin is to know of it goes on the agenda.
    pub fn on_event(&self, key: u64, event: CallEvent) {
        let ends = matches!(event, CallEvent::Complete | CallEvent::Reset);
        let mut table = self.table.borrow_mut();
        let Some(call) = table.get_mut(&key) else { return };
        let version = call.version;
        match &mut call.kind {
            Kind::Http { id, response, .. } => match event {
                CallEvent::Headers(headers) => response.headers = headers,
                CallEvent::Data(data) => response.body.extend_from_slice(&data),
                CallEvent::Trailers(trailers) => response.trailers = trailers,
                CallEvent::Complete => self.agenda.push(Todo::HttpAnswer(version, *id, std::mem::take(response))),
                CallEvent::Reset => self.agenda.push(Todo::HttpAnswer(version, *id, HttpCallResponse::default())),
            },
            Kind::Grpc(progress) => {
                let id = progress.id;
                progress.on_event(event, &mut |event| self.agenda.push(Todo::Grpc(version, id, event)));
            }
        }
        if ends {
            table.remove(&key);
        }
    }

    /// The key of a gRPC stream that takes a message.
    pub(super) fn grpc_for_sending(&self, call: CallId, end_stream: bool) -> Result<u64, GrpcSendError> {
        let mut table = self.table.borrow_mut();
        let found = table.iter_mut().find_map(|(key, known)| match &mut known.kind {
            Kind::Grpc(progress) if progress.id == call => Some((*key, progress)),
            _ => None,
        });
        let (key, progress) = found.ok_or(GrpcSendError::NotFound)?;
        progress.sends(end_stream)?;
        Ok(key)
    }

    /// Ends calls; nothing more is heard of them.
    pub(super) fn cancel(&self, which: impl Fn(&Kind) -> bool) {
        let keys: Vec<u64> =
            self.table.borrow().iter().filter(|(_, call)| which(&call.kind)).map(|(key, _)| *key).collect();
        for key in keys {
            self.order(key, CallOrder::Reset);
            self.table.borrow_mut().remove(&key);
        }
    }
}
