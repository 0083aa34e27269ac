//! Answers to calls made by plugins.

use std::time::Duration;

use dynvm::host::HttpCallResponse;
use dynvm_sim::{GrpcAnswer, HttpAnswer, Message};
use serde::{Deserialize, Serialize};

use super::bytes::{Bytes, Lines};
use super::step::{Body, response};

/// An answer to HTTP calls to an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpCall {
    /// Name of the upstream.
    pub upstream: String,
    /// Status. Default: 200.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u32>,
    /// Headers beyond `:status`.
    #[serde(skip_serializing_if = "Lines::is_empty")]
    pub headers: Lines,
    /// Body.
    #[serde(skip_serializing_if = "Body::is_none")]
    pub body: Body,
    /// Trailers.
    #[serde(skip_serializing_if = "Lines::is_empty")]
    pub trailers: Lines,
    /// Whether the call fails.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fail: bool,
    /// Latency of the answer in milliseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub delay_ms: u64,
}

/// An answer to gRPC calls to an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GrpcCall {
    /// Name of the upstream.
    pub upstream: String,
    /// The service; empty matches any.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// The method; empty matches any.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// The message.
    pub message: Bytes,
    /// gRPC status; 0 is OK.
    #[serde(skip_serializing_if = "is_zero")]
    pub status: u32,
    /// The message of a status other than OK.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status_message: String,
    /// Latency of the answer in milliseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub delay_ms: u64,
}

fn is_zero<N: Copy + Into<u64>>(number: &N) -> bool {
    (*number).into() == 0
}

impl HttpCall {
    /// Converts to the simulated proxy's type.
    pub fn answer(&self) -> HttpAnswer {
        let Message { headers, chunks, trailers } =
            response(self.status, &self.headers, &self.body, &self.trailers).message;
        let response = HttpCallResponse { headers, body: chunks.concat(), trailers };
        HttpAnswer {
            upstream: self.upstream.clone(),
            response: (!self.fail).then_some(response),
            delay: Duration::from_millis(self.delay_ms),
        }
    }
}

impl GrpcCall {
    /// Converts to the simulated proxy's type.
    pub fn answer(&self) -> GrpcAnswer {
        GrpcAnswer {
            upstream: self.upstream.clone(),
            service: self.service.clone(),
            method: self.method.clone(),
            message: self.message.0.clone(),
            status: self.status,
            status_message: self.status_message.clone(),
            delay: Duration::from_millis(self.delay_ms),
            ..GrpcAnswer::default()
        }
    }
}
