//! TCP connections through one filter.

use dynvm::CallError;
use dynvm::abi::types::{FilterStatus, PeerType};
use dynvm::{ContextId, Vm};

use super::SimProxy;
use super::stream::SimStream;

/// A connection: the bytes sent by both sides, in chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// Bytes from the client.
    pub downstream: Vec<Vec<u8>>,
    /// Bytes from the upstream.
    pub upstream: Vec<Vec<u8>>,
}

/// Result of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpExchange {
    /// Bytes received by the upstream.
    pub to_upstream: Vec<u8>,
    /// Bytes received by the client.
    pub to_downstream: Vec<u8>,
    /// Whether the plugin closed the connection.
    pub closed: bool,
    /// Whether the VM failed, and the connection with it.
    pub failed: bool,
    /// Whether the plugin stopped the connection and nothing pending could resume it.
    pub paused: bool,
}

impl SimProxy {
    /// Runs a connection through the plugin: the client's bytes, the upstream's bytes, then both ends.
    ///
    /// # Errors
    ///
    /// The root context has ended: the plugin was stopped.
    pub fn connect(&mut self, connection: Connection) -> Result<TcpExchange, CallError> {
        let (_, root) = self.plugin.vm_for_new_stream();
        let stream = SimStream { is_tcp: true, ..SimStream::default() };
        let create = |vm: &mut Vm| vm.create_stream(root, Box::new(stream));
        let id = self.callback("proxy_on_context_create", create, |_| "")?;
        let mut exchange = TcpExchange::default();
        let status = self.callback("proxy_on_new_connection", |vm| vm.on_new_connection(id), |status| status.name());
        let open = self.go_on(id, 0, status, &mut exchange)
            && self.direction(id, 0, connection.downstream, &mut exchange)
            && self.direction(id, 1, connection.upstream, &mut exchange);
        let peer = if open { PeerType::Remote } else { PeerType::Local };
        self.callback("proxy_on_upstream_connection_close", |vm| vm.on_upstream_connection_close(id, peer), |()| "");
        self.callback(
            "proxy_on_downstream_connection_close",
            |vm| vm.on_downstream_connection_close(id, peer),
            |()| "",
        );
        self.callback("proxy_on_done", |vm| vm.on_done(id), |_| "");
        self.callback("proxy_on_log", |vm| vm.on_log(id), |()| "");
        self.callback("proxy_on_delete", |vm| vm.delete_stream(id), |_| "");
        self.deliver_due();
        Ok(exchange)
    }

    /// Delivers the bytes of one side. Returns false if the connection is over.
    fn direction(&mut self, id: ContextId, half: usize, chunks: Vec<Vec<u8>>, exchange: &mut TcpExchange) -> bool {
        let last = chunks.len();
        for (index, chunk) in chunks.into_iter().enumerate() {
            let end = index + 1 == last;
            let size = self.tcp(id, |stream| {
                let data = stream.halves[half].body.get_or_insert_default();
                data.extend_from_slice(&chunk);
                data.len()
            });
            let status = if half == 0 {
                let call = |vm: &mut Vm| vm.on_downstream_data(id, size, end);
                self.callback("proxy_on_downstream_data", call, |status| status.name())
            } else {
                let call = |vm: &mut Vm| vm.on_upstream_data(id, size, end);
                self.callback("proxy_on_upstream_data", call, |status| status.name())
            };
            // Held until more data arrives, if more is coming.
            if status == FilterStatus::StopIteration && !end && !self.is_over(id, exchange) {
                continue;
            }
            if !self.go_on(id, half, status, exchange) {
                return false;
            }
            let data = self.tcp(id, |stream| stream.halves[half].body.take()).unwrap_or_default();
            let target = if half == 0 { &mut exchange.to_upstream } else { &mut exchange.to_downstream };
            target.extend_from_slice(&data);
        }
        true
    }

    /// If the plugin stopped, waits until it resumes. Returns false if the connection is over.
    fn go_on(&mut self, id: ContextId, half: usize, status: FilterStatus, exchange: &mut TcpExchange) -> bool {
        let end = self.end_of_patience();
        loop {
            if self.is_over(id, exchange) {
                return false;
            }
            let resumed = self.tcp(id, |stream| std::mem::take(&mut stream.halves[half].resumed));
            if status == FilterStatus::Continue || resumed {
                return true;
            }
            if !self.deliver_next(end) {
                exchange.paused = true;
                return false;
            }
        }
    }

    fn is_over(&mut self, id: ContextId, exchange: &mut TcpExchange) -> bool {
        (exchange.closed, exchange.failed) = self.tcp(id, |stream| (stream.closed, stream.failed));
        exchange.closed || exchange.failed
    }

    fn tcp<R>(&mut self, id: ContextId, f: impl FnOnce(&mut SimStream) -> R) -> R {
        let mut stream = self.plugin.vm().stream_mut(id).expect("the stream lives until its exchange is over");
        f(&mut stream)
    }
}
