//! Envoy's events on a stream, as callbacks of the plugin. A stream without a context of the plugin passes: its route
//! disables the filter, or the plugin does not start and its policy is to go on.

use std::rc::Rc;

use dynvm::{ContextId, FailurePolicy, FilterDataStatus, FilterHeadersStatus, FilterTrailersStatus, Vm};

use super::stream::HttpStream;
use super::{Direction, Exchange};
use crate::abi::http_filter::HeaderKind;
use crate::calls::CallEvent;
use crate::deployed::RouteConfig;
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

impl Exchange {
    /// Request headers arrived: the plugin's context begins.
    pub fn request_headers(self: &Rc<Self>, end_of_stream: bool) -> i32 {
        let Some(policy) = self.choose_plugin() else { return status::CONTINUE };
        self.arrives(HeaderKind::RequestHeaders);
        if let Some(local) = self.local().filter(|local| self.begin(local)) {
            return self.headers(&local, Direction::Request, end_of_stream);
        }
        self.set_local(None);
        if policy == FailurePolicy::Open {
            return status::CONTINUE;
        }
        self.fail();
        status::STOP_ALL
    }

    /// Heeds the configuration of the request's route. Returns the failure policy of the plugin; `None`: the route has none.
    fn choose_plugin(&self) -> Option<FailurePolicy> {
        match self.filter.route_config() {
            Some(RouteConfig::Disabled) => {
                self.set_local(None);
                None
            }
            Some(RouteConfig::Plugin(deployed)) => {
                self.set_local(Local::of(&deployed));
                Some(deployed.failure_policy)
            }
            None => Some(self.failure_policy),
        }
    }

    /// Creates the plugin's context. False: the plugin has no VM.
    fn begin(self: &Rc<Self>, local: &Local) -> bool {
        local.look_after();
        local.deployed.metrics.flush(&self.filter);
        let stream = HttpStream::new(self, local.shared.agenda.clone());
        let created = local.create_stream(Box::new(stream));
        created.is_some_and(|context| {
            // Set once: a stream has one request.
            let _ = self.context.set(context);
            true
        })
    }

    /// A part of the request's body arrived.
    pub fn request_body(self: &Rc<Self>, end_of_stream: bool) -> i32 {
        self.body(Direction::Request, end_of_stream)
    }

    /// The request's trailers arrived.
    pub fn request_trailers(self: &Rc<Self>) -> i32 {
        self.trailers(Direction::Request)
    }

    /// Response headers arrived, from the upstream or from Envoy.
    pub fn response_headers(self: &Rc<Self>, end_of_stream: bool) -> i32 {
        match self.serving() {
            Some(local) => self.headers(&local, Direction::Response, end_of_stream),
            None => status::CONTINUE,
        }
    }

    /// A part of the response's body arrived.
    pub fn response_body(self: &Rc<Self>, end_of_stream: bool) -> i32 {
        self.body(Direction::Response, end_of_stream)
    }

    /// The response's trailers arrived.
    pub fn response_trailers(self: &Rc<Self>) -> i32 {
        self.trailers(Direction::Response)
    }

    fn headers(self: &Rc<Self>, local: &Local, direction: Direction, end_of_stream: bool) -> i32 {
        let kind = match direction {
            Direction::Request => HeaderKind::RequestHeaders,
            Direction::Response => HeaderKind::ResponseHeaders,
        };
        self.arrives(kind);
        let count = self.filter.header_count(kind);
        self.enter(direction, false);
        let returned = self.call(local, |vm, context| match direction {
            Direction::Request => vm.on_request_headers(context, count, end_of_stream),
            Direction::Response => vm.on_response_headers(context, count, end_of_stream),
        });
        let returned = returned.unwrap_or(FilterHeadersStatus::StopAllIterationAndWatermark);
        // Envoy has no end of the stream here: as its wasm filter, it goes on.
        let stop = !matches!(returned, FilterHeadersStatus::Continue | FilterHeadersStatus::ContinueAndEndStream);
        let holds = returned == FilterHeadersStatus::StopIteration;
        if !self.leave(direction, stop, holds, end_of_stream) {
            return status::CONTINUE;
        }
        if self.replied.get() || !stop { status::STOP_ALL } else { returned as i32 }
    }

    fn body(self: &Rc<Self>, direction: Direction, end_of_stream: bool) -> i32 {
        let Some(local) = self.serving() else { return status::CONTINUE };
        self.enter(direction, true);
        let size = super::body::length(&self.filter, direction);
        let returned = self.call(&local, |vm, context| match direction {
            Direction::Request => vm.on_request_body(context, size, end_of_stream),
            Direction::Response => vm.on_response_body(context, size, end_of_stream),
        });
        let returned = returned.unwrap_or(FilterDataStatus::StopIterationNoBuffer);
        let stop = returned != FilterDataStatus::Continue;
        if !self.leave(direction, stop, false, end_of_stream) {
            return status::CONTINUE;
        }
        if self.replied.get() || !stop { status::STOP_NO_BUFFER } else { returned as i32 }
    }

    fn trailers(self: &Rc<Self>, direction: Direction) -> i32 {
        let Some(local) = self.serving() else { return status::CONTINUE };
        let kind = match direction {
            Direction::Request => HeaderKind::RequestTrailers,
            Direction::Response => HeaderKind::ResponseTrailers,
        };
        self.arrives(kind);
        let count = self.filter.header_count(kind);
        self.enter(direction, false);
        let returned = self.call(&local, |vm, context| match direction {
            Direction::Request => vm.on_request_trailers(context, count),
            Direction::Response => vm.on_response_trailers(context, count),
        });
        let stop = returned != Some(FilterTrailersStatus::Continue);
        if self.leave(direction, stop, false, true) { status::STOP } else { status::CONTINUE }
    }

    /// Runs a callback, then what the plugin asked for. `None`: the plugin's VM is gone.
    fn call<R>(self: &Rc<Self>, local: &Local, code: impl FnOnce(&mut Vm, ContextId) -> R) -> Option<R> {
        let context = *self.context.get()?;
        let calls = &local.shared.calls;
        let outer = calls.set_stream(Some(self.clone()));
        let returned = local.run(context, |vm| code(vm, context.context()));
        calls.set_stream(outer);
        if returned.is_none() {
            // The VM failed and was replaced: nobody will end this stream.
            self.fail();
        }
        local.work_off();
        self.settle_route();
        returned
    }

    /// The stream is over: the plugin may log it.
    pub fn complete(self: &Rc<Self>) {
        self.is_done();
        // Without a context, the request did not get here: Envoy, or a filter before this one, has answered it. As in Envoy's
        // wasm filter, the plugin logs it all the same.
        if self.context.get().is_none()
            && self.choose_plugin().is_some()
            && let Some(local) = self.local()
        {
            self.begin(&local);
        }
        let (Some(local), Some(context)) = (self.serving(), self.context.get().copied()) else { return };
        // Calls made here outlive the stream.
        let outer = local.shared.calls.set_stream(None);
        local.run(context, |vm| {
            vm.on_done(context.context());
            vm.on_log(context.context());
        });
        local.shared.calls.set_stream(outer);
        local.work_off();
        local.deployed.metrics.flush(&self.filter);
    }

    /// Envoy destroys the filter.
    pub fn destroy(&self) {
        self.filter_is_gone();
        // Taken, as the plugin's stream refers to this one.
        if let Some(local) = self.take_local() {
            local.shared.calls.stream_ended(self);
            if let Some(context) = self.context.get() {
                local.end_stream(*context);
            }
            local.work_off();
        }
    }

    /// An event of a call on this stream.
    pub fn call_event(&self, id: u64, event: CallEvent) {
        if let Some(local) = self.local() {
            local.shared.calls.on_stream_event(self, id, event);
            local.work_off();
        }
    }
}
