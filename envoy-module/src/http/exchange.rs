//! The state of an HTTP stream, shared by Envoy's filter and the plugin's stream; and what the plugin does to the stream
//! after its callback.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use dynvm::FailurePolicy;
use dynvm::abi::types::StreamType;
use dynvm::host::PropertyPath;
use dynvm_rollout::deploy::StreamRef;

use super::local_reply::LocalReply;
use crate::abi::http_filter::{HeaderKind, HttpFilter};
use crate::deployed::Deployed;
use crate::local::Local;

/// A direction of an HTTP stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client.
    Request,
    /// To the client.
    Response,
}

impl Direction {
    /// The direction of the ABI's number; `None`: of a TCP connection.
    pub fn of(direction: StreamType) -> Option<Direction> {
        match direction {
            StreamType::HttpRequest => Some(Direction::Request),
            StreamType::HttpResponse => Some(Direction::Response),
            _ => None,
        }
    }
}

/// The state of one direction.
#[derive(Default)]
pub struct Side {
    /// True inside the direction's hooks.
    in_hook: Cell<bool>,
    /// True if the plugin asked to continue inside a hook of the direction.
    resumed: Cell<bool>,
    /// True if a hook has stopped the direction.
    stopped: Cell<bool>,
    /// True if the headers wait for the end of the body.
    headers_held: Cell<bool>,
    /// True in the hook that a part of the body arrived with.
    pub(super) body_arrives: Cell<bool>,
    /// True if the plugin has changed the body.
    pub(super) body_changed: Cell<bool>,
    /// True if all of it has passed.
    complete: Cell<bool>,
}

/// One HTTP stream.
pub struct Exchange {
    /// The stream in Envoy.
    pub filter: HttpFilter,
    /// The plugin on this thread, until Envoy destroys the stream. `None`: it does not start.
    local: RefCell<Option<Rc<Local>>>,
    /// What to do if it does not start.
    pub(super) failure_policy: FailurePolicy,
    sides: [Side; 2],
    arrived: [Cell<bool>; 4],
    /// The plugin's context, once there is one.
    pub(super) context: OnceCell<StreamRef>,
    /// True if the plugin has asked for a local response.
    pub(super) replied: Cell<bool>,
    /// True if a response of this filter was given to Envoy, or the stream was reset.
    pub(super) ended: Cell<bool>,
    pub(super) reply: RefCell<Option<Box<LocalReply>>>,
    route_changed: Cell<bool>,
    /// Those that the plugin has set, by path: few.
    properties: RefCell<Vec<(Vec<u8>, Vec<u8>)>>,
    began: SystemTime,
    done: Cell<bool>,
    /// When the plugin asked for it first, at the stream's end.
    ended_at: OnceCell<SystemTime>,
    /// Calls on this stream: Envoy's number and ours.
    pub(crate) calls: RefCell<Vec<(u64, u64)>>,
    /// The call that Envoy is being asked to start.
    pub(crate) starting: Cell<Option<u64>>,
}

impl Exchange {
    /// A new stream, with the plugin of its filter.
    pub fn new(deployed: &Arc<Deployed>, filter: HttpFilter) -> Rc<Exchange> {
        Rc::new(Exchange {
            filter,
            local: RefCell::new(Local::of(deployed)),
            failure_policy: deployed.failure_policy,
            sides: Default::default(),
            arrived: Default::default(),
            context: OnceCell::new(),
            replied: Cell::default(),
            ended: Cell::default(),
            reply: RefCell::default(),
            route_changed: Cell::default(),
            properties: RefCell::default(),
            began: SystemTime::now(),
            done: Cell::default(),
            ended_at: OnceCell::new(),
            calls: RefCell::default(),
            starting: Cell::default(),
        })
    }

    pub(super) fn local(&self) -> Option<Rc<Local>> {
        self.local.borrow().clone()
    }

    /// Has another plugin than the filter's on this stream.
    pub(super) fn set_local(&self, local: Option<Rc<Local>>) {
        self.local.replace(local);
    }

    pub(super) fn take_local(&self) -> Option<Rc<Local>> {
        self.local.take()
    }

    /// The plugin, if it has a context for this stream.
    pub(super) fn serving(&self) -> Option<Rc<Local>> {
        self.context.get().and_then(|_| self.local())
    }

    pub(super) fn side(&self, direction: Direction) -> &Side {
        &self.sides[direction as usize]
    }

    pub(super) fn arrives(&self, kind: HeaderKind) {
        self.arrived[kind as usize].set(true);
    }

    /// True if the stream has this header map. At its end, it has what Envoy has.
    pub(super) fn has_arrived(&self, kind: HeaderKind) -> bool {
        self.arrived[kind as usize].get() || (self.done.get() && self.filter.header_count(kind) > 0)
    }

    pub(super) fn headers_changed(&self, kind: HeaderKind) {
        // As Envoy's wasm filter, which has the route chosen anew for every change.
        if kind == HeaderKind::RequestHeaders {
            self.route_changed();
        }
    }

    pub fn route_changed(&self) {
        self.route_changed.set(true);
    }

    /// Has the route chosen anew, if the plugin changed what it depends on.
    pub(super) fn settle_route(&self) {
        if self.route_changed.take() && !self.done.get() {
            self.filter.clear_route_cache();
        }
    }

    /// Begins a hook of a direction.
    pub(super) fn enter(&self, direction: Direction, body: bool) {
        let side = self.side(direction);
        side.in_hook.set(true);
        side.resumed.set(false);
        side.body_arrives.set(body);
    }

    /// Ends a hook of a direction. True if the direction stops.
    pub(super) fn leave(&self, direction: Direction, stop: bool, holds_headers: bool, end_of_stream: bool) -> bool {
        let side = self.side(direction);
        side.in_hook.set(false);
        if side.body_arrives.take() && !stop && end_of_stream {
            self.settle_length(direction);
        }
        if self.replied.get() || self.ended.get() {
            side.stopped.set(true);
            return true;
        }
        let stop = stop && !side.resumed.take();
        side.stopped.set(stop);
        side.headers_held.set(stop && (holds_headers || side.headers_held.get()));
        side.complete.set(end_of_stream && !stop);
        stop
    }

    /// Ends a callback on the plugin's own response. True if the plugin asked to continue.
    pub(super) fn leave_reply(&self) -> bool {
        let side = self.side(Direction::Response);
        side.in_hook.set(false);
        side.resumed.take()
    }

    /// Corrects the length in headers that waited for the whole body, which the plugin has changed.
    fn settle_length(&self, direction: Direction) {
        let side = self.side(direction);
        if !side.body_changed.take() || !side.headers_held.get() {
            return;
        }
        let headers = match direction {
            Direction::Request => HeaderKind::RequestHeaders,
            Direction::Response => HeaderKind::ResponseHeaders,
        };
        if self.filter.header(headers, b"content-length").is_some() {
            let length = super::body::length(&self.filter, direction);
            self.filter.set_header(headers, b"content-length", length.to_string().as_bytes());
        }
    }

    /// Resumes a direction, if it is stopped.
    pub fn continue_direction(self: &Rc<Self>, local: &Local, direction: StreamType) {
        let Some(direction) = Direction::of(direction) else { return };
        let side = self.side(direction);
        if side.in_hook.get() {
            side.resumed.set(true);
            return;
        }
        if direction == Direction::Response && self.reply.borrow().is_some() {
            self.continue_reply(local);
            return;
        }
        if self.ended.get() || !side.stopped.replace(false) {
            return;
        }
        self.settle_route();
        match direction {
            Direction::Request => self.filter.continue_request(),
            Direction::Response => self.filter.continue_response(),
        }
    }

    /// Resets the stream.
    pub fn close(&self) {
        if !self.ended.replace(true) {
            self.filter.reset(b"dynvm_close_stream");
        }
    }

    /// Ends the stream, whose plugin has failed.
    pub fn fail(&self) {
        // A failure after a complete response does not reach the client.
        if self.side(Direction::Response).complete.get() || self.ended.replace(true) {
            return;
        }
        self.replied.set(true);
        self.send_failure();
    }

    /// The stream is over.
    pub(super) fn is_done(&self) {
        self.done.set(true);
    }

    /// Envoy has destroyed the stream.
    pub(super) fn filter_is_gone(&self) {
        self.ended.set(true);
        self.filter.forget();
    }

    /// A property that a plugin has set.
    pub(super) fn own_property(&self, path: PropertyPath<'_>) -> Option<Vec<u8>> {
        if let Some((_, value)) = self.properties.borrow().iter().find(|(known, _)| known == path.as_bytes()) {
            return Some(value.clone());
        }
        // Set by a plugin in another filter of the stream.
        let mut segments = path.segments();
        let (first, None) = (segments.next()?, segments.next()) else { return None };
        self.filter.filter_state(&state_key(first)).map(<[u8]>::to_vec)
    }

    pub(super) fn set_own_property(&self, path: PropertyPath<'_>, value: &[u8]) {
        self.filter.set_filter_state(&state_key(path.as_bytes()), value);
        let mut properties = self.properties.borrow_mut();
        properties.retain(|(known, _)| known != path.as_bytes());
        properties.push((path.as_bytes().to_vec(), value.to_vec()));
    }

    /// Times of the stream, which Envoy does not tell modules: in nanoseconds.
    pub(super) fn time_property(&self, path: PropertyPath<'_>) -> Option<Vec<u8>> {
        let nanoseconds = match path.as_bytes() {
            b"request\0time" => self.began.duration_since(UNIX_EPOCH).ok()?,
            b"request\0duration" if self.done.get() => {
                self.ended_at.get_or_init(SystemTime::now).duration_since(self.began).ok()?
            }
            _ => return None,
        };
        Some((nanoseconds.as_nanos() as i64).to_le_bytes().to_vec())
    }
}

/// The key of a plugin's property in the filter state, as Envoy's wasm filter has it.
fn state_key(path: &[u8]) -> Vec<u8> {
    [b"wasm.", path].concat()
}
