//! The plugin's own response.
//!
//! Envoy's wasm filter lets the plugin's response callbacks see the plugin's own response; for a module, Envoy skips the
//! filter that replies. So the callbacks run here, before the response is given to Envoy.

use std::rc::Rc;

use dynvm::host::{HeaderMap as _, Headers, LocalResponse};

use super::stream::{HttpStream, Own};
use super::{Direction, Exchange};
use crate::abi::http_filter::HeaderKind;
use crate::local::Local;

/// A response on its way through the plugin's callbacks.
pub struct LocalReply {
    details: Vec<u8>,
    /// Status and body of an answer to a gRPC request, of which Envoy makes gRPC's own headers.
    grpc: Option<(u32, Vec<u8>)>,
    /// The headers and the body before the next callback; `None` while the plugin's stream has them.
    own: Option<Box<Own>>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Headers,
    Body,
    Sent,
}

impl Exchange {
    /// Answers the request, after the plugin's response callbacks have seen the answer.
    pub fn reply(self: &Rc<Self>, local: &Local, response: LocalResponse) {
        // The first response counts.
        if self.ended.get() || self.replied.replace(true) {
            return;
        }
        // A response that takes the place of another is not seen again.
        let unseen = !self.has_arrived(HeaderKind::ResponseHeaders);
        let stage = if unseen { Stage::Headers } else { Stage::Sent };
        let details = response.details.clone();
        let (own, grpc) = match self.is_grpc() {
            true => {
                let own = Own { headers: grpc_headers_of(&response), body: Vec::new() };
                (own, Some((response.status_code, response.body)))
            }
            false => (Own { headers: headers_of(&response), body: response.body }, None),
        };
        *self.reply.borrow_mut() = Some(Box::new(LocalReply { details, grpc, own: Some(Box::new(own)), stage }));
        self.continue_reply(local);
    }

    /// Takes the response through the callbacks that it has not been through, until one stops it.
    pub(super) fn continue_reply(self: &Rc<Self>, local: &Local) {
        loop {
            let Some(mut reply) = self.reply.borrow_mut().take() else { return };
            let Some(own) = reply.own.take() else { return };
            if self.ended.get() {
                return;
            }
            if reply.stage == Stage::Sent {
                self.ended.set(true);
                self.send(&own, &reply);
                return;
            }
            let (own, goes_on) = self.show(local, own, reply.stage);
            reply.stage = match reply.stage {
                Stage::Headers if !own.body.is_empty() => Stage::Body,
                _ => Stage::Sent,
            };
            reply.own = Some(own);
            *self.reply.borrow_mut() = Some(reply);
            if !goes_on {
                return;
            }
        }
    }

    /// Runs one response callback on the response. Returns the response, and whether it goes on.
    fn show(self: &Rc<Self>, local: &Local, own: Box<Own>, stage: Stage) -> (Box<Own>, bool) {
        let Some(context) = self.context.get().copied() else { return (own, true) };
        self.enter(Direction::Response, false);
        let (lines, length) = (own.headers.len(), own.body.len());
        let mut given = Some(own);
        let stop = local.run(context, |vm| {
            if let Some(mut stream) = vm.stream_mut::<HttpStream>(context.context()) {
                stream.own = given.take();
            }
            let stop = match stage {
                Stage::Headers => vm.on_response_headers(context.context(), lines, length == 0) as u32 != 0,
                _ => vm.on_response_body(context.context(), length, true) as u32 != 0,
            };
            if let Some(mut stream) = vm.stream_mut::<HttpStream>(context.context()) {
                given = stream.own.take();
            }
            stop
        });
        // The callback may have asked to continue.
        let resumed = {
            local.work_off();
            self.leave_reply()
        };
        let own = given.unwrap_or_default();
        (own, resumed || stop != Some(true))
    }

    fn send(&self, own: &Own, reply: &LocalReply) {
        let status = own.headers.get(b":status").and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        let mut headers = Headers::new();
        for (name, value) in own.headers.iter() {
            if !is_envoys(name, value) {
                headers.add(name, value);
            }
        }
        let (status, body) = match &reply.grpc {
            Some((status, message)) => (*status, message),
            None => (status.unwrap_or(500), &own.body),
        };
        self.filter.send_response(status, &headers, body, &reply.details);
    }

    /// Answers the request of a plugin that has failed.
    pub(super) fn send_failure(&self) {
        let mut headers = Headers::new();
        if self.is_grpc() {
            // UNAVAILABLE
            headers.add(b"grpc-status", b"14");
        }
        self.filter.send_response(503, &headers, b"", b"wasm_fail_stream");
    }

    fn is_grpc(&self) -> bool {
        let content_type = self.filter.header(HeaderKind::RequestHeaders, b"content-type");
        content_type.and_then(|value| value.strip_prefix(b"application/grpc")).is_some_and(|rest| {
            // `application/grpc-web` is another protocol.
            rest.first().is_none_or(|next| matches!(next, b'+' | b';'))
        })
    }
}

/// True for headers that Envoy makes itself, of what it is given apart from the headers.
fn is_envoys(name: &[u8], value: &[u8]) -> bool {
    let made = [&b":status"[..], b"content-length", b"grpc-message"];
    made.iter().any(|header| name.eq_ignore_ascii_case(header))
        || (name.eq_ignore_ascii_case(b"content-type") && matches!(value, b"text/plain" | b"application/grpc"))
}

/// The response's headers as filters see them in Envoy.
fn headers_of(response: &LocalResponse) -> Headers {
    let mut headers = Headers::new();
    headers.add(b":status", response.status_code.to_string().as_bytes());
    for (name, value) in response.headers.iter() {
        headers.add(name, value);
    }
    if !response.body.is_empty() {
        headers.replace(b"content-length", response.body.len().to_string().as_bytes());
        if headers.get(b"content-type").is_none() {
            headers.add(b"content-type", b"text/plain");
        }
    }
    headers
}

/// The same for the answer to a gRPC request, which has trailers only.
fn grpc_headers_of(response: &LocalResponse) -> Headers {
    let mut headers = Headers::new();
    headers.add(b":status", b"200");
    for (name, value) in response.headers.iter() {
        headers.add(name, value);
    }
    headers.replace(b"content-type", b"application/grpc");
    if headers.get(b"grpc-status").is_none() {
        // For modules, Envoy would say OK.
        let status = match response.grpc_status {
            -1 => grpc_status_of(response.status_code),
            status => status,
        };
        headers.add(b"grpc-status", status.to_string().as_bytes());
    }
    if !response.body.is_empty() {
        headers.replace(b"grpc-message", &response.body);
    }
    headers
}

/// The gRPC status of an HTTP status, as gRPC's specification maps them.
fn grpc_status_of(status: u32) -> i32 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}
