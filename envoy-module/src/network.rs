//! The network filter: one plugin on one TCP connection.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::sync::Arc;

use dynvm::abi::types::{BufferType, PeerType, StreamType};
use dynvm::host::{Buffer, PropertyError, PropertyPath, Stream};
use dynvm::{ContextId, FailurePolicy, FilterStatus, Vm};
use dynvm_rollout::deploy::StreamRef;

use crate::abi::AttributeId;
use crate::abi::connection::{Flow, NetworkFilter};
use crate::deployed::Deployed;
use crate::local::{Agenda, Local, Todo};
use crate::properties;

/// What Envoy does after a hook, by Envoy's numbers.
pub mod status {
    /// Go on.
    pub const CONTINUE: i32 = 0;
    /// Hold the data.
    pub const STOP: i32 = 1;
}

/// One TCP connection: its state, shared by Envoy's filter and the plugin's stream.
pub struct Connection {
    filter: NetworkFilter,
    deployed: Arc<Deployed>,
    local: OnceCell<Rc<Local>>,
    context: OnceCell<StreamRef>,
    /// The data that the present hook is about.
    arriving: Cell<Option<Flow>>,
    resumed: Cell<bool>,
    stopped: Cell<bool>,
    closed: Cell<bool>,
    passes: Cell<bool>,
    ends: Ends,
}

/// The sides that have closed.
#[derive(Default)]
struct Ends {
    downstream: Cell<bool>,
    upstream: Cell<bool>,
}

impl Connection {
    /// The filter of a new connection.
    pub fn new(deployed: &Arc<Deployed>, filter: NetworkFilter) -> Rc<Connection> {
        Rc::new(Connection {
            filter,
            deployed: deployed.clone(),
            local: OnceCell::new(),
            context: OnceCell::new(),
            arriving: Cell::default(),
            resumed: Cell::default(),
            stopped: Cell::default(),
            closed: Cell::default(),
            passes: Cell::default(),
            ends: Ends::default(),
        })
    }

    /// The connection was accepted.
    pub fn new_connection(self: &Rc<Self>) -> i32 {
        if self.begin().is_none() {
            if self.deployed.failure_policy == FailurePolicy::Open {
                self.passes.set(true);
                return status::CONTINUE;
            }
            self.close("wasm_fail_stream");
            return status::STOP;
        }
        self.call(None, |vm, context| vm.on_new_connection(context))
    }

    fn begin(self: &Rc<Self>) -> Option<()> {
        let local = Local::of(&self.deployed)?;
        local.look_after();
        let data = |flow| Data { connection: self.clone(), flow };
        let stream = TcpStream {
            connection: self.clone(),
            agenda: local.shared.agenda.clone(),
            data: [data(Flow::Read), data(Flow::Write)],
        };
        let context = local.create_stream(Box::new(stream))?;
        // Set once: a filter has one connection.
        let _ = self.context.set(context);
        let _ = self.local.set(local);
        Some(())
    }

    /// Data from the client arrived.
    pub fn read(&self, length: usize, end_of_stream: bool) -> i32 {
        self.call(Some(Flow::Read), |vm, context| vm.on_downstream_data(context, length, end_of_stream))
    }

    /// Data for the client arrived.
    pub fn write(&self, length: usize, end_of_stream: bool) -> i32 {
        let status = self.call(Some(Flow::Write), |vm, context| vm.on_upstream_data(context, length, end_of_stream));
        if end_of_stream {
            // As Envoy's wasm filter, which hears of the upstream's end in no other way.
            self.run(|vm, context| vm.on_upstream_connection_close(context, PeerType::Unknown));
            self.ends.upstream.set(true);
            self.end_if_closed();
        }
        status
    }

    /// The connection to the client was closed.
    pub fn closed(&self, by: PeerType) {
        self.closed.set(true);
        self.run(|vm, context| vm.on_downstream_connection_close(context, by));
        self.ends.downstream.set(true);
        self.end_if_closed();
    }

    /// Envoy destroys the filter.
    pub fn destroy(&self) {
        self.end();
        self.closed.set(true);
        self.filter.forget();
        if let (Some(local), Some(context)) = (self.local.get(), self.context.get()) {
            local.end_stream(*context);
            local.work_off();
        }
    }

    /// Closes the connection.
    pub fn close(&self, reason: &str) {
        if !self.closed.replace(true) {
            self.filter.close(reason);
        }
    }

    /// Resumes a direction, if it is stopped. Envoy has no way to resume writing, which it does not hold.
    pub fn continue_direction(&self, direction: StreamType) {
        if direction != StreamType::Downstream {
            return;
        }
        if self.arriving.get() == Some(Flow::Read) {
            self.resumed.set(true);
        } else if self.stopped.replace(false) && !self.closed.get() {
            self.filter.continue_reading();
        }
    }

    fn end_if_closed(&self) {
        if self.ends.downstream.get() && self.ends.upstream.get() {
            self.end();
        }
    }

    fn end(&self) {
        self.run(|vm, context| {
            vm.on_done(context);
            vm.on_log(context);
        });
    }

    fn call(&self, flow: Option<Flow>, code: impl FnOnce(&mut Vm, ContextId) -> FilterStatus) -> i32 {
        if self.passes.get() {
            return status::CONTINUE;
        }
        self.arriving.set(flow.or(Some(Flow::Read)));
        self.resumed.set(false);
        let returned = self.run(code);
        self.arriving.set(None);
        if returned.is_none() {
            self.close("wasm_fail_stream");
        }
        let stop = self.closed.get() || (returned != Some(FilterStatus::Continue) && !self.resumed.take());
        if flow != Some(Flow::Write) {
            self.stopped.set(stop);
        }
        if stop { status::STOP } else { status::CONTINUE }
    }

    fn run<R>(&self, code: impl FnOnce(&mut Vm, ContextId) -> R) -> Option<R> {
        let (local, context) = (self.local.get()?, *self.context.get()?);
        let returned = local.run(context, |vm| code(vm, context.context()));
        local.work_off();
        returned
    }
}

/// The data of one direction, as the plugin sees it.
struct Data {
    connection: Rc<Connection>,
    flow: Flow,
}

impl Data {
    fn read(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        self.connection.filter.for_each_chunk(self.flow, &mut |chunk| bytes.extend_from_slice(chunk));
        bytes
    }
}

impl Buffer for Data {
    fn len(&self) -> usize {
        self.connection.filter.len(self.flow)
    }

    fn copy_to(&self, start: usize, target: &mut [u8]) {
        target.copy_from_slice(&self.read()[start..start + target.len()]);
    }

    fn replace(&mut self, start: usize, length: usize, data: &[u8]) {
        let mut bytes = self.read();
        bytes.splice(start..start + length, data.iter().copied());
        self.connection.filter.replace(self.flow, &bytes);
    }
}

/// A TCP connection of Envoy.
struct TcpStream {
    connection: Rc<Connection>,
    agenda: Rc<Agenda>,
    data: [Data; 2],
}

impl TcpStream {
    fn flow(&self, buffer: BufferType) -> Option<Flow> {
        let flow = match buffer {
            BufferType::DownstreamData => Flow::Read,
            BufferType::UpstreamData => Flow::Write,
            _ => return None,
        };
        (self.connection.arriving.get() == Some(flow)).then_some(flow)
    }
}

impl Stream for TcpStream {
    fn buffer(&self, buffer: BufferType) -> Option<&dyn Buffer> {
        Some(&self.data[self.flow(buffer)? as usize])
    }

    fn buffer_mut(&mut self, buffer: BufferType) -> Option<&mut dyn Buffer> {
        let flow = self.flow(buffer)?;
        Some(&mut self.data[flow as usize])
    }

    fn property(&self, path: PropertyPath<'_>) -> Result<Cow<'_, [u8]>, PropertyError> {
        let path: Vec<&[u8]> = path.segments().collect();
        let id = AttributeId::of(&path.join(&b'.')).ok_or(PropertyError::NotFound)?;
        let filter = &self.connection.filter;
        // Older versions of Envoy have these two as addresses only.
        if let AttributeId::SourceAddress | AttributeId::DestinationAddress = id {
            let (address, port) = filter.address(id == AttributeId::SourceAddress).ok_or(PropertyError::NotFound)?;
            let address = String::from_utf8_lossy(address);
            let text = if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
            return Ok(Cow::Owned(text.into_bytes()));
        }
        let value = match properties::kind_of(id) {
            properties::Kind::Number => filter.attribute_int(id).map(properties::number),
            _ => filter.attribute_string(id).map(Cow::Borrowed),
        };
        value.ok_or(PropertyError::NotFound)
    }

    fn has_direction(&self, direction: StreamType) -> bool {
        matches!(direction, StreamType::Downstream | StreamType::Upstream)
    }

    fn continue_stream(&mut self, direction: StreamType) {
        self.agenda.push(Todo::ContinueConnection(self.connection.clone(), direction));
    }

    fn close_stream(&mut self, direction: StreamType) {
        let reason = if direction == StreamType::Upstream { "wasm_upstream_close" } else { "wasm_downstream_close" };
        self.agenda.push(Todo::CloseConnection(self.connection.clone(), reason));
    }

    fn fail(&mut self, _: StreamType) {
        self.agenda.push(Todo::CloseConnection(self.connection.clone(), "wasm_fail_stream"));
    }
}
