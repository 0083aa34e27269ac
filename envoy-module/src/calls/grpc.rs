//! gRPC over HTTP streams: framing, status, and the serialized `GrpcService` that names the upstream.

use dynvm::host::{DispatchError, GrpcCall, GrpcSendError, HeaderMap as _, Headers};
use dynvm::{CallId, Vm};

use super::{CallEvent, CallStart, milliseconds};
use crate::protobuf;

/// gRPC's status numbers.
mod status {
    pub(super) const UNKNOWN: u32 = 2;
    pub(super) const INTERNAL: u32 = 13;
}

/// Something of a gRPC call that its plugin is to know.
pub enum GrpcEvent {
    /// Initial metadata of a stream.
    InitialMetadata(Headers),
    /// A message.
    Message(Vec<u8>),
    /// Trailing metadata of a stream.
    TrailingMetadata(Headers),
    /// The end of a stream, or of a call that failed.
    Close(u32, Vec<u8>),
}

impl GrpcEvent {
    /// Tells the plugin.
    pub fn deliver(self, vm: &mut Vm, call: CallId) {
        // Errors: the VM has failed or the call was cancelled since, and nobody waits.
        let _ = match self {
            GrpcEvent::InitialMetadata(metadata) => vm.on_grpc_receive_initial_metadata(call, metadata),
            GrpcEvent::Message(message) => vm.on_grpc_receive(call, message),
            GrpcEvent::TrailingMetadata(metadata) => vm.on_grpc_receive_trailing_metadata(call, metadata),
            GrpcEvent::Close(status, message) => vm.on_grpc_close(call, status, message),
        };
    }
}

/// The progress of a gRPC call or stream.
pub(super) struct Progress {
    pub(super) id: CallId,
    is_unary: bool,
    has_ended_sending: bool,
    /// Bytes that are not a whole message yet.
    rest: Vec<u8>,
    /// The answer to a unary call, which counts if the status is good.
    answer: Option<Vec<u8>>,
    status: Option<(u32, Vec<u8>)>,
    /// True if the end was delivered to the plugin.
    is_closed: bool,
}

impl Progress {
    pub(super) fn new(id: CallId, is_unary: bool) -> Progress {
        Progress {
            id,
            is_unary,
            has_ended_sending: is_unary,
            rest: Vec::new(),
            answer: None,
            status: None,
            is_closed: false,
        }
    }

    /// Notes a message to be sent.
    pub(super) fn sends(&mut self, end_stream: bool) -> Result<(), GrpcSendError> {
        if self.is_unary || self.has_ended_sending {
            return Err(GrpcSendError::BadArgument);
        }
        self.has_ended_sending = end_stream;
        Ok(())
    }

    pub(super) fn on_event(&mut self, event: CallEvent, tell: &mut dyn FnMut(GrpcEvent)) {
        if self.is_closed {
            return;
        }
        match event {
            CallEvent::Headers(headers) => {
                self.status = status_of(&headers).or_else(|| status_of_http(&headers));
                if !self.is_unary {
                    tell(GrpcEvent::InitialMetadata(headers));
                }
            }
            CallEvent::Data(data) => {
                self.rest.extend_from_slice(&data);
                self.take_messages(tell);
            }
            CallEvent::Trailers(trailers) => {
                self.status = status_of(&trailers).or(self.status.take());
                if !self.is_unary {
                    tell(GrpcEvent::TrailingMetadata(trailers));
                }
            }
            CallEvent::Complete => {
                let (status, message) = self.status.take().unwrap_or((status::UNKNOWN, Vec::new()));
                match (self.is_unary && status == 0, self.answer.take()) {
                    (true, Some(answer)) => {
                        self.is_closed = true;
                        tell(GrpcEvent::Message(answer));
                    }
                    (true, None) => self.close(status::INTERNAL, Vec::new(), tell),
                    (false, _) => self.close(status, message, tell),
                }
            }
            CallEvent::Reset => self.close(status::INTERNAL, Vec::new(), tell),
        }
    }

    fn take_messages(&mut self, tell: &mut dyn FnMut(GrpcEvent)) {
        while let Some((&[compressed, a, b, c, d], body)) = self.rest.split_first_chunk::<5>() {
            if compressed != 0 {
                // None was offered.
                return self.close(status::INTERNAL, b"the answer is compressed".to_vec(), tell);
            }
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            let Some(message) = body.get(..length).map(<[u8]>::to_vec) else { return };
            self.rest.drain(..5 + length);
            match self.is_unary {
                true => self.answer = Some(message),
                false => tell(GrpcEvent::Message(message)),
            }
        }
    }

    fn close(&mut self, status: u32, message: Vec<u8>, tell: &mut dyn FnMut(GrpcEvent)) {
        self.is_closed = true;
        tell(GrpcEvent::Close(status, message));
    }
}

/// A message with its prefix: not compressed, and the length.
pub(super) fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0][..], &length.to_be_bytes(), message].concat()
}

/// The beginning of a call.
pub(super) fn start(call: &GrpcCall) -> Result<CallStart, DispatchError> {
    let target = &call.target;
    let (cluster, authority) = upstream(&target.upstream)?;
    let mut headers = Headers::new();
    headers.add(b":method", b"POST");
    headers.add(b":path", &[b"/", &target.service[..], b"/", &target.method].concat());
    headers.add(b":authority", authority.unwrap_or(&cluster));
    headers.add(b"te", b"trailers");
    headers.add(b"content-type", b"application/grpc");
    if !call.timeout.is_zero() {
        headers.add(b"grpc-timeout", format!("{}m", milliseconds(call.timeout)).as_bytes());
    }
    for (name, value) in target.initial_metadata.iter() {
        headers.add(name, value);
    }
    Ok(CallStart {
        cluster,
        headers,
        body: call.message.as_deref().map(frame).unwrap_or_default(),
        end_stream: call.message.is_some(),
        timeout_ms: milliseconds(call.timeout),
    })
}

fn status_of(headers: &Headers) -> Option<(u32, Vec<u8>)> {
    let status = std::str::from_utf8(headers.get(b"grpc-status")?).ok()?.parse().ok()?;
    Some((status, headers.get(b"grpc-message").unwrap_or_default().to_vec()))
}

/// The status of an answer that is not gRPC, as gRPC's specification maps them.
fn status_of_http(headers: &Headers) -> Option<(u32, Vec<u8>)> {
    let status = match headers.get(b":status")? {
        b"200" => return None,
        b"400" => status::INTERNAL,
        b"401" => 16,
        b"403" => 7,
        b"404" => 12,
        b"429" | b"502" | b"503" | b"504" => 14,
        _ => status::UNKNOWN,
    };
    Some((status, Vec::new()))
}

/// The cluster and the authority of an upstream: the name of a cluster, or a serialized `GrpcService` of Envoy, whose
/// field 1 is `envoy_grpc`, with the cluster's name in field 1 and the authority in field 2.
fn upstream(bytes: &[u8]) -> Result<(Vec<u8>, Option<&[u8]>), DispatchError> {
    if protobuf::fields(bytes).is_none() {
        return Ok((bytes.to_vec(), None));
    }
    let envoy_grpc = protobuf::field(bytes, 1).ok_or(DispatchError::BadArgument)?;
    let cluster = protobuf::field(envoy_grpc, 1).ok_or(DispatchError::BadArgument)?;
    Ok((cluster.to_vec(), protobuf::field(envoy_grpc, 2).filter(|authority| !authority.is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_a_name_or_a_serialized_service() {
        // envoy_grpc { cluster_name: "keys", authority: "k.example" }, timeout { seconds: 1 }
        let service = b"\x0a\x11\x0a\x04keys\x12\x09k.example\x1a\x02\x08\x01";
        assert_eq!(upstream(service), Ok((b"keys".to_vec(), Some(&b"k.example"[..]))));
        assert_eq!(upstream(b"keys"), Ok((b"keys".to_vec(), None)));
        // google_grpc
        assert_eq!(upstream(b"\x12\x02\x0a\x00"), Err(DispatchError::BadArgument));
    }
}
