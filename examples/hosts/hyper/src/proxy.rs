//! One request: through the plugin, to the upstream, and back through the plugin.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use dynvm::abi::types::{FilterDataStatus, FilterHeadersStatus};
use dynvm::host::HeaderMap;
use dynvm::{ContextId, Vm};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::{self, request};
use hyper::{Request, Response, StatusCode, Uri, Version};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::Worker;
use crate::exchange::{Ending, Exchange};

/// Limit of a body, in bytes.
pub const MAX_BODY: usize = 1 << 20;

/// How long a plugin may hold a stream.
pub const PATIENCE: Duration = Duration::from_secs(30);

type Reply = Response<Full<Bytes>>;

/// Fields that concern one connection only.
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

pub async fn handle(worker: Rc<Worker>, client: SocketAddr, request: Request<Incoming>) -> Result<Reply, Infallible> {
    let (parts, body) = request.into_parts();
    let stream = OpenStream::new(worker, client, parts);
    Ok(exchange(&stream, body).await.unwrap_or_else(answer))
}

async fn exchange(stream: &OpenStream, body: Incoming) -> Result<Reply, Ending> {
    let count = stream.read(|exchange| HeaderMap::len(&exchange.request))?;
    stream.deliver(Direction::Request, count, body).await?;
    let (parts, body) = stream.read(|exchange| (exchange.request.clone(), exchange.request_body.clone()))?;
    let request = outgoing(parts, stream.worker.setup.upstream, body.into()).map_err(|_| StatusCode::BAD_REQUEST)?;

    let response = stream.worker.client.request(request).await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    let (mut parts, body) = response.into_parts();
    HOP_BY_HOP.iter().for_each(|name| drop(parts.headers.remove(name)));
    let count = HeaderMap::len(&parts);
    stream.read(|exchange| exchange.response = Some(parts))?;
    let has_body = stream.deliver(Direction::Response, count, body).await?;
    let (parts, body) =
        stream.read(|exchange| (exchange.response.take(), std::mem::take(&mut exchange.response_body)))?;
    let mut parts = parts.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    if has_body {
        // The plugin may have changed it, and hyper knows its length.
        parts.headers.remove(header::CONTENT_LENGTH);
    }
    Ok(Response::from_parts(parts, body.into()))
}

/// Which message of an exchange.
#[derive(Clone, Copy)]
enum Direction {
    Request,
    Response,
}

/// True if the message waits for `continue_stream` before anything else happens to it.
fn holds(status: FilterHeadersStatus, has_body: bool) -> bool {
    match status {
        FilterHeadersStatus::Continue | FilterHeadersStatus::ContinueAndEndStream => false,
        FilterHeadersStatus::StopIteration => !has_body,
        _ => true,
    }
}

/// A stream context, which ends with this value: also when the client goes away and hyper drops the request's task.
struct OpenStream {
    worker: Rc<Worker>,
    id: Option<ContextId>,
    changed: Rc<Notify>,
}

impl OpenStream {
    fn new(worker: Rc<Worker>, client: SocketAddr, request: request::Parts) -> OpenStream {
        let changed = Rc::new(Notify::new());
        let exchange = Exchange {
            client,
            request,
            request_body: Vec::new(),
            response: None,
            response_body: Vec::new(),
            ending: None,
            resumed: false,
            changed: changed.clone(),
        };
        let id = {
            let mut plugin = worker.plugin.borrow_mut();
            let (vm, root) = plugin.vm_for_new_stream();
            vm.create_stream(root, Box::new(exchange)).ok()
        };
        OpenStream { worker, id, changed }
    }

    /// Passes a message through the plugin: its headers, then its body, whole. True if it has one.
    async fn deliver(&self, direction: Direction, headers: usize, body: Incoming) -> Result<bool, Ending> {
        let has_body = !body.is_end_stream();
        let status = self.call(|vm, id| match direction {
            Direction::Request => vm.on_request_headers(id, headers, !has_body),
            Direction::Response => vm.on_response_headers(id, headers, !has_body),
        })?;
        self.pass(holds(status, has_body)).await?;
        if !has_body {
            return Ok(false);
        }
        let too_large = match direction {
            Direction::Request => StatusCode::PAYLOAD_TOO_LARGE,
            Direction::Response => StatusCode::BAD_GATEWAY,
        };
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|_| too_large)?.to_bytes().to_vec();
        let size = body.len();
        self.read(|exchange| match direction {
            Direction::Request => exchange.request_body = body,
            Direction::Response => exchange.response_body = body,
        })?;
        let status = self.call(|vm, id| match direction {
            Direction::Request => vm.on_request_body(id, size, true),
            Direction::Response => vm.on_response_body(id, size, true),
        })?;
        self.pass(status != FilterDataStatus::Continue).await?;
        Ok(true)
    }

    /// Reads or changes the exchange. It is gone, and answered with 503, if the VM was replaced.
    fn read<R>(&self, look: impl FnOnce(&mut Exchange) -> R) -> Result<R, Ending> {
        let id = self.id.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
        let mut plugin = self.worker.plugin.borrow_mut();
        let exchange = plugin.vm().stream_mut::<Exchange>(id);
        Ok(look(&mut *exchange.ok_or(StatusCode::SERVICE_UNAVAILABLE)?))
    }

    /// Calls the plugin.
    fn call<R>(&self, callback: impl FnOnce(&mut Vm, ContextId) -> R) -> Result<R, Ending> {
        self.read(|exchange| exchange.resumed = false)?;
        let id = self.id.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
        Ok(callback(self.worker.plugin.borrow_mut().vm(), id))
    }

    /// Returns once the message may go on. The error is what ends the exchange instead.
    async fn pass(&self, held: bool) -> Result<(), Ending> {
        loop {
            let (ending, resumed) = self.read(|exchange| (exchange.ending.take(), exchange.resumed))?;
            match ending {
                Some(ending) => return Err(ending),
                None if !held || resumed => return Ok(()),
                None => timeout(PATIENCE, self.changed.notified()).await.map_err(|_| StatusCode::GATEWAY_TIMEOUT)?,
            }
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.worker.plugin.borrow_mut().vm().delete_stream(id);
        }
    }
}

/// A request for the upstream at this address, with the headers that the plugin left.
pub fn outgoing(
    mut parts: request::Parts,
    address: SocketAddr,
    body: Full<Bytes>,
) -> Result<Request<Full<Bytes>>, http::Error> {
    if let Some(authority) = HeaderMap::get(&parts, b":authority") {
        let host = HeaderValue::from_bytes(authority)?;
        parts.headers.insert(header::HOST, host);
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = Uri::builder().scheme("http").authority(address.to_string()).path_and_query(path).build()?;
    parts.version = Version::HTTP_11;
    HOP_BY_HOP.iter().for_each(|name| drop(parts.headers.remove(name)));
    // hyper sends the length that the body has now.
    parts.headers.remove(header::CONTENT_LENGTH);
    Ok(Request::from_parts(parts, body))
}

/// The response that ends an exchange early.
fn answer(ending: Ending) -> Reply {
    let (mut parts, ()) = Response::new(()).into_parts();
    match ending {
        Ending::Status(status) => {
            parts.status = status;
            Response::from_parts(parts, Full::default())
        }
        Ending::Local(response) => {
            let status = u16::try_from(response.status_code).ok().and_then(|code| StatusCode::from_u16(code).ok());
            parts.status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            response.headers.for_each(&mut |name, value| parts.add(name, value));
            Response::from_parts(parts, response.body.into())
        }
    }
}
