//! HTTP streams step by step: the driver delivers headers, body and trailers, and inspects the result.

use dynvm::CallError;
use dynvm::abi::types::{FilterDataStatus, FilterHeadersStatus, FilterTrailersStatus};
use dynvm::host::Headers;
use dynvm::{ContextId, Vm};

use super::flow::Flow;
use super::{Direction, LocalReply};
use crate::stream::SimStream;
use crate::{Message, SimProxy};

/// An open HTTP stream of a [`SimProxy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HttpStream {
    pub(super) context: ContextId,
}

impl HttpStream {
    /// The stream context. It also identifies the VM, because failed VMs are replaced.
    pub fn context(self) -> ContextId {
        self.context
    }
}

/// A step that is not possible.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// The stream was closed, or disappeared with a VM that failed and was replaced.
    #[error("the stream is gone: it was closed, or its VM failed and was replaced")]
    Gone,
    /// No proxy would deliver this in the current state.
    #[error("{direction:?}: {what}")]
    OutOfOrder {
        /// Direction of the delivery.
        direction: Direction,
        /// Reason.
        what: &'static str,
    },
}

/// State of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamView {
    /// Data forwarded to the upstream.
    pub upstream: Passed,
    /// Data forwarded to the client.
    pub client: Passed,
    /// Whether the plugin holds the request back.
    pub request_held: bool,
    /// Whether the plugin holds the response back.
    pub response_held: bool,
    /// The plugin's local response, if any.
    pub local_reply: Option<LocalReply>,
    /// Whether the plugin closed the stream.
    pub closed: bool,
    /// Whether the VM failed, and the stream with it.
    pub failed: bool,
}

/// Data forwarded in one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// The part forwarded so far.
    pub message: Message,
    /// Whether headers were forwarded.
    pub headers: bool,
    /// Whether end-of-stream was forwarded.
    pub complete: bool,
}

impl SimProxy {
    /// Opens a stream (`proxy_on_context_create`) with additional properties, keyed by dotted path.
    /// Nothing arrives on it until it is delivered.
    ///
    /// If the failure policy says so, a failed VM is replaced first, which ends its streams.
    ///
    /// # Errors
    ///
    /// The root context has ended: the plugin was stopped.
    pub fn open(&mut self, properties: &[(String, Vec<u8>)]) -> Result<HttpStream, CallError> {
        let (vm, root) = self.plugin.vm_for_new_stream();
        let vm = vm.id();
        self.open.retain(|open| open.vm() == vm);
        let mut stream = SimStream::default();
        for (path, value) in properties {
            stream.properties.insert(path.replace('.', "\0").into_bytes(), value.clone());
        }
        let create = |vm: &mut Vm| vm.create_stream(root, Box::new(stream));
        let context = self.callback("proxy_on_context_create", create, |_| "")?;
        self.open.push(context);
        Ok(HttpStream { context })
    }

    /// Delivers headers. Returns the plugin's status as a proxy would receive it; `None` if the
    /// plugin does not see them, because it closed the stream or the VM has failed.
    ///
    /// # Errors
    ///
    /// The stream was deleted, has already received headers in this direction, or the plugin has sent a local response.
    pub fn headers(
        &mut self,
        stream: HttpStream,
        direction: Direction,
        headers: Headers,
        end_of_stream: bool,
    ) -> Result<Option<FilterHeadersStatus>, StepError> {
        let begun = self.flow(stream, direction, |flow| flow.begun)?;
        let replied = self.with(stream.context, |stream| stream.local.is_some());
        in_order(direction, !replied, "the plugin has answered the request itself")?;
        in_order(direction, !begun, "headers have arrived before")?;
        Ok(self.arrive_headers(stream.context, direction, headers, end_of_stream))
    }

    /// Delivers a body chunk. Returns `None` if the plugin does not see it, because it ended the
    /// stream, or stopped it and sees the chunk after resuming.
    ///
    /// # Errors
    ///
    /// The stream was deleted, its headers have not arrived, or its end has.
    pub fn body(
        &mut self,
        stream: HttpStream,
        direction: Direction,
        chunk: impl Into<Vec<u8>>,
        end_of_stream: bool,
    ) -> Result<Option<FilterDataStatus>, StepError> {
        self.may_continue(stream, direction)?;
        Ok(self.arrive_body(stream.context, direction, chunk.into(), end_of_stream))
    }

    /// Delivers trailers, which end the direction. Returns `None` as for [`SimProxy::body`].
    ///
    /// # Errors
    ///
    /// As for [`SimProxy::body`].
    pub fn trailers(
        &mut self,
        stream: HttpStream,
        direction: Direction,
        trailers: Headers,
    ) -> Result<Option<FilterTrailersStatus>, StepError> {
        self.may_continue(stream, direction)?;
        Ok(self.arrive_trailers(stream.context, direction, trailers))
    }

    /// The current state of the stream.
    ///
    /// # Errors
    ///
    /// The stream was deleted.
    pub fn look(&mut self, stream: HttpStream) -> Result<StreamView, StepError> {
        self.check_open(stream)?;
        Ok(self.with(stream.context, |stream| stream.view()))
    }

    /// Closes a stream, complete or reset: `proxy_on_done`, `proxy_on_log`, `proxy_on_delete`.
    /// Returns its state before closing.
    ///
    /// # Errors
    ///
    /// The stream was deleted.
    pub fn close(&mut self, stream: HttpStream) -> Result<StreamView, StepError> {
        let view = self.look(stream)?;
        let id = stream.context;
        self.open.retain(|open| *open != id);
        self.callback("proxy_on_done", |vm| vm.on_done(id), |_| "");
        self.callback("proxy_on_log", |vm| vm.on_log(id), |()| "");
        self.callback("proxy_on_delete", |vm| vm.delete_stream(id), |_| "");
        Ok(view)
    }

    /// A property of the stream by dotted path, as the plugin would read it.
    pub fn stream_property(&mut self, stream: HttpStream, path: &str) -> Option<Vec<u8>> {
        use dynvm::host::{PropertyPath, Stream as _};
        self.check_open(stream).ok()?;
        let path = path.replace('.', "\0");
        self.with(stream.context, |stream| {
            stream.property(PropertyPath::new(path.as_bytes())).ok().map(|value| value.into_owned())
        })
    }

    fn check_open(&mut self, stream: HttpStream) -> Result<(), StepError> {
        let is_open = stream.context.vm() == self.plugin.vm().id() && self.open.contains(&stream.context);
        if is_open { Ok(()) } else { Err(StepError::Gone) }
    }

    fn flow<R>(
        &mut self,
        stream: HttpStream,
        direction: Direction,
        f: impl FnOnce(&Flow) -> R,
    ) -> Result<R, StepError> {
        self.check_open(stream)?;
        Ok(self.with(stream.context, |stream| f(&stream.flows[direction as usize])))
    }

    fn may_continue(&mut self, stream: HttpStream, direction: Direction) -> Result<(), StepError> {
        let (begun, ended, cut) =
            self.flow(stream, direction, |flow| (flow.begun, flow.ended || flow.waiting.end, flow.cut))?;
        // A peer may still send after the plugin has ended the stream or replied.
        let over = self.with(stream.context, |stream| stream.is_over(direction));
        in_order(direction, begun || over, "no headers have arrived yet")?;
        in_order(direction, !ended || cut || over, "its end has arrived before")
    }
}

fn in_order(direction: Direction, is: bool, what: &'static str) -> Result<(), StepError> {
    if is { Ok(()) } else { Err(StepError::OutOfOrder { direction, what }) }
}

impl SimStream {
    pub(super) fn view(&self) -> StreamView {
        let passed = |direction: Direction| {
            let flow = &self.flows[direction as usize];
            Passed { message: flow.gone.clone(), headers: flow.headers_gone, complete: flow.complete }
        };
        let client = match &self.local {
            Some(local) if !local.passes => Passed { message: local.message.clone(), headers: true, complete: true },
            _ => passed(Direction::Response),
        };
        let held = |direction: Direction| !self.is_over(direction) && self.flows[direction as usize].is_held();
        StreamView {
            upstream: passed(Direction::Request),
            client,
            request_held: held(Direction::Request),
            response_held: held(Direction::Response),
            local_reply: self.local.clone(),
            closed: self.closed,
            failed: self.failed,
        }
    }
}
