//! Envoy's events on a stream, as callbacks of the plugin.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::sync::Arc;

use dynvm::{ContextId, FailurePolicy, FilterDataStatus, FilterHeadersStatus, FilterTrailersStatus, Vm};

use super::stream::HttpStream;
use super::{Direction, Exchange};
use crate::abi::http_filter::{HeaderKind, HttpFilter};
use crate::calls::CallEvent;
use crate::deployed::{Deployed, RouteConfig};
use crate::local::Local;

/// What Envoy does after a hook, by Envoy's numbers.
pub mod status {
    /// Go on.
    pub const CONTINUE: i32 = 0;
    /// After trailers: hold them.
    pub const STOP: i32 = 1;
    /// After headers: hold everything, with back pressure.
    pub const STOP_ALL: i32 = 4;
    /// After a part of a body: drop it.
    pub const STOP_NO_BUFFER: i32 = 3;
}

/// A filter on one stream.
pub struct Filter {
    deployed: Arc<Deployed>,
    /// The stream.
    pub exchange: Rc<Exchange>,
    local: OnceCell<Rc<Local>>,
    /// True if the filter does nothing to the stream.
    passes: Cell<bool>,
}

impl Filter {
    /// A filter for a new stream.
    pub fn new(deployed: &Arc<Deployed>, filter: HttpFilter) -> Rc<Filter> {
        let exchange = Exchange::new(filter);
        Rc::new(Filter { deployed: deployed.clone(), exchange, local: OnceCell::new(), passes: Cell::new(false) })
    }

    /// Ends the stream after an error of this module itself.
    pub fn broken(&self) {
        self.exchange.fail();
    }

    /// Request headers arrived: the plugin's context begins.
    pub fn request_headers(self: &Rc<Self>, end_of_stream: bool) -> i32 {
        let route = self.exchange.filter.route_config();
        let deployed = match &route {
            Some(RouteConfig::Disabled) => {
                self.passes.set(true);
                return status::CONTINUE;
            }
            Some(RouteConfig::Plugin(deployed)) => deployed,
            None => &self.deployed,
        };
        let Some(local) = self.begin(deployed) else {
            if deployed.failure_policy == FailurePolicy::Open {
                self.passes.set(true);
                return status::CONTINUE;
            }
            self.exchange.fail();
            return status::STOP_ALL;
        };
        self.headers(&local, Direction::Request, end_of_stream)
    }

    /// Creates the plugin's context.
    fn begin(&self, deployed: &Arc<Deployed>) -> Option<Rc<Local>> {
        let local = Local::of(deployed)?;
        local.look_after();
        deployed.metrics.flush(&self.exchange.filter);
        self.exchange.arrives(HeaderKind::RequestHeaders);
        let stream = HttpStream::new(&self.exchange, local.shared.agenda.clone());
        let context = local.create_stream(Box::new(stream))?;
        // Set once: a filter has one request.
        let _ = self.exchange.context.set(context);
        let _ = self.local.set(local.clone());
        Some(local)
    }

    /// A part of the request's body arrived.
    pub fn request_body(&self, end_of_stream: bool) -> i32 {
        self.body(Direction::Request, end_of_stream)
    }

    /// The request's trailers arrived.
    pub fn request_trailers(&self) -> i32 {
        self.trailers(Direction::Request)
    }

    /// Response headers arrived, from the upstream or from Envoy.
    pub fn response_headers(&self, end_of_stream: bool) -> i32 {
        match self.local.get().cloned() {
            // Without a request the plugin has no context, as with a request that is not HTTP.
            Some(local) if !self.passes.get() => self.headers(&local, Direction::Response, end_of_stream),
            _ => status::CONTINUE,
        }
    }

    /// A part of the response's body arrived.
    pub fn response_body(&self, end_of_stream: bool) -> i32 {
        self.body(Direction::Response, end_of_stream)
    }

    /// The response's trailers arrived.
    pub fn response_trailers(&self) -> i32 {
        self.trailers(Direction::Response)
    }

    fn headers(&self, local: &Rc<Local>, direction: Direction, end_of_stream: bool) -> i32 {
        let kind = match direction {
            Direction::Request => HeaderKind::RequestHeaders,
            Direction::Response => HeaderKind::ResponseHeaders,
        };
        self.exchange.arrives(kind);
        let count = self.exchange.filter.header_count(kind);
        self.exchange.enter(direction, false);
        let returned = self.call(local, |vm, context| match direction {
            Direction::Request => vm.on_request_headers(context, count, end_of_stream),
            Direction::Response => vm.on_response_headers(context, count, end_of_stream),
        });
        let returned = returned.unwrap_or(FilterHeadersStatus::StopAllIterationAndWatermark);
        // Envoy has no end of the stream here: as its wasm filter, it goes on.
        let stop = !matches!(returned, FilterHeadersStatus::Continue | FilterHeadersStatus::ContinueAndEndStream);
        let holds = returned == FilterHeadersStatus::StopIteration;
        if !self.exchange.leave(direction, stop, holds, end_of_stream) {
            return status::CONTINUE;
        }
        if self.exchange.replied.get() || !stop { status::STOP_ALL } else { returned as i32 }
    }

    fn body(&self, direction: Direction, end_of_stream: bool) -> i32 {
        let Some(local) = self.local.get().filter(|_| !self.passes.get()) else { return status::CONTINUE };
        self.exchange.enter(direction, true);
        let returned = self.call(local, |vm, context| {
            let size = super::body::size(vm, context, direction);
            match direction {
                Direction::Request => vm.on_request_body(context, size, end_of_stream),
                Direction::Response => vm.on_response_body(context, size, end_of_stream),
            }
        });
        let returned = returned.unwrap_or(FilterDataStatus::StopIterationNoBuffer);
        let stop = returned != FilterDataStatus::Continue;
        if !self.exchange.leave(direction, stop, false, end_of_stream) {
            return status::CONTINUE;
        }
        if self.exchange.replied.get() || !stop { status::STOP_NO_BUFFER } else { returned as i32 }
    }

    fn trailers(&self, direction: Direction) -> i32 {
        let Some(local) = self.local.get().filter(|_| !self.passes.get()) else { return status::CONTINUE };
        let kind = match direction {
            Direction::Request => HeaderKind::RequestTrailers,
            Direction::Response => HeaderKind::ResponseTrailers,
        };
        self.exchange.arrives(kind);
        let count = self.exchange.filter.header_count(kind);
        self.exchange.enter(direction, false);
        let returned = self.call(local, |vm, context| match direction {
            Direction::Request => vm.on_request_trailers(context, count),
            Direction::Response => vm.on_response_trailers(context, count),
        });
        let stop = returned != Some(FilterTrailersStatus::Continue);
        if self.exchange.leave(direction, stop, false, true) { status::STOP } else { status::CONTINUE }
    }

    /// Runs a callback, then what the plugin asked for. `None`: the plugin's VM is gone.
    fn call<R>(&self, local: &Local, code: impl FnOnce(&mut Vm, ContextId) -> R) -> Option<R> {
        let context = *self.exchange.context.get()?;
        let calls = &local.shared.calls;
        let outer = calls.set_stream(Some(self.exchange.clone()));
        let returned = local.run(context, |vm| code(vm, context.context()));
        calls.set_stream(outer);
        if returned.is_none() {
            // The VM failed and was replaced: nobody will end this stream.
            self.exchange.fail();
        }
        local.work_off();
        self.exchange.settle_route();
        returned
    }

    /// The stream is over: the plugin may log it.
    pub fn complete(&self) {
        self.exchange.is_done();
        let (Some(local), Some(context)) = (self.local.get(), self.exchange.context.get().copied()) else { return };
        if self.passes.get() {
            return;
        }
        // Calls made here outlive the stream.
        let outer = local.shared.calls.set_stream(None);
        local.run(context, |vm| {
            vm.on_done(context.context());
            vm.on_log(context.context());
        });
        local.shared.calls.set_stream(outer);
        local.work_off();
        local.deployed.metrics.flush(&self.exchange.filter);
    }

    /// Envoy destroys the filter.
    pub fn destroy(&self) {
        self.exchange.filter_is_gone();
        if let Some(local) = self.local.get() {
            local.shared.calls.stream_ended(&self.exchange);
            if let Some(context) = self.exchange.context.get() {
                local.end_stream(*context);
            }
            local.work_off();
        }
    }

    /// An event of a call on this stream.
    pub fn call_event(&self, id: u64, event: CallEvent) {
        if let Some(local) = self.local.get() {
            local.shared.calls.on_stream_event(&self.exchange, id, event);
            local.work_off();
        }
    }
}
