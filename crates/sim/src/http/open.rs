//! HTTP streams step by step: whoever drives them says what arrives, and looks at what has become of it.

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
    /// Its context, which names the VM too: failed ones are replaced.
    pub fn context(self) -> ContextId {
        self.context
    }
}

/// Why a step cannot be taken.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// The stream has been closed, or is gone with a VM that failed and was replaced.
    #[error("the stream is gone: it was closed, or its VM failed and was replaced")]
    Gone,
    /// No proxy sends this now.
    #[error("{direction:?}: {what}")]
    OutOfOrder {
        /// Where it was to arrive.
        direction: Direction,
        /// What is wrong.
        what: &'static str,
    },
}

/// What a stream has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamView {
    /// What has gone on to the upstream.
    pub upstream: Passed,
    /// What has gone on to the client.
    pub client: Passed,
    /// Whether the plugin holds the request back.
    pub request_held: bool,
    /// Whether the plugin holds the response back.
    pub response_held: bool,
    /// The plugin's own answer, if it gave one.
    pub local_reply: Option<LocalReply>,
    /// Whether the plugin closed the stream.
    pub closed: bool,
    /// Whether the VM failed and the stream with it.
    pub failed: bool,
}

/// What has gone on in one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// What of it.
    pub message: Message,
    /// Whether the headers have.
    pub headers: bool,
    /// Whether the end has.
    pub complete: bool,
}

impl SimProxy {
    /// Opens a stream (`proxy_on_context_create`), with properties of its own by their paths with dots. Nothing arrives on it by itself.
    ///
    /// A failed VM is replaced first if the failure policy says so; its streams are gone then.
    ///
    /// # Errors
    ///
    /// The root context is gone: the plugin has been stopped.
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

    /// Headers arrive. The answer is the plugin's, as a proxy would get it; `None`: the plugin does not see them, because it closed the
    /// stream or the VM has failed.
    ///
    /// # Errors
    ///
    /// The stream is gone, or has had headers in this direction, or the plugin has answered the request itself.
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

    /// A chunk of body arrives. `None`: the plugin does not see it, because it stopped the stream (then it sees it when it goes on), or
    /// ended it.
    ///
    /// # Errors
    ///
    /// The stream is gone, or its headers have not arrived, or its end has.
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

    /// Trailers arrive, which end the direction. `None`: as for [`SimProxy::body`].
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

    /// What the stream has come to.
    ///
    /// # Errors
    ///
    /// The stream is gone.
    pub fn look(&mut self, stream: HttpStream) -> Result<StreamView, StepError> {
        self.check_open(stream)?;
        Ok(self.with(stream.context, |stream| stream.view()))
    }

    /// Ends a stream, whether all of it has arrived or its peer has reset it: `proxy_on_done`, `proxy_on_log`, `proxy_on_delete`. What it
    /// had come to before is returned.
    ///
    /// # Errors
    ///
    /// The stream is gone.
    pub fn close(&mut self, stream: HttpStream) -> Result<StreamView, StepError> {
        let view = self.look(stream)?;
        let id = stream.context;
        self.open.retain(|open| *open != id);
        self.callback("proxy_on_done", |vm| vm.on_done(id), |_| "");
        self.callback("proxy_on_log", |vm| vm.on_log(id), |()| "");
        self.callback("proxy_on_delete", |vm| vm.delete_stream(id), |_| "");
        Ok(view)
    }

    /// A property of the stream, as the plugin would read it there, its path with dots.
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
        // A peer does not know yet that the plugin has ended the stream or answered.
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
