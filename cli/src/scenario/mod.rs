//! Scenarios: a plugin's configuration and the traffic to take it through, as a JSON file.

mod drive;
mod options;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use dynvm::host::{Headers, HttpCallResponse};
use dynvm::memory::{Connection, GrpcAnswer, HttpAnswer, MemoryHost, MemoryHostBuilder, Message, Request, Response};
use dynvm::{FailurePolicy, PluginConfig, VmConfig};
use serde::Deserialize;

pub use drive::{Observation, Observed, drive, drive_step};
pub use options::TrafficArgs;

use crate::exit::usage;

/// The file's name in a plugin's directory.
pub const FILE_NAME: &str = "scenario.json";

/// A scenario.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    pub plugin: Plugin,
    pub environment: BTreeMap<String, String>,
    pub properties: BTreeMap<String, Property>,
    pub http_calls: Vec<HttpCall>,
    pub grpc_calls: Vec<GrpcCall>,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plugin {
    pub name: String,
    pub root_id: String,
    pub vm_id: String,
    pub configuration: Text,
    pub vm_configuration: Text,
    pub failure_policy: Option<String>,
}

/// A configuration: a string as it is, any other JSON value as JSON (as Envoy does with `Struct`).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Text(serde_json::Value);

impl Text {
    fn bytes(&self) -> Vec<u8> {
        match &self.0 {
            serde_json::Value::Null => Vec::new(),
            serde_json::Value::String(text) => text.clone().into_bytes(),
            other => other.to_string().into_bytes(),
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text(text.into())
    }
}

/// A property, encoded as the ABI says: strings raw, numbers as 8 bytes, booleans as one.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Property {
    Bool(bool),
    Int(i64),
    Double(f64),
    String(String),
}

impl Property {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Property::Bool(value) => vec![u8::from(*value)],
            Property::Int(value) => value.to_le_bytes().to_vec(),
            Property::Double(value) => value.to_le_bytes().to_vec(),
            Property::String(value) => value.clone().into_bytes(),
        }
    }
}

type Lines = Vec<(String, String)>;

/// A body: one chunk, or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Body {
    Whole(String),
    Chunks(Vec<String>),
}

impl Default for Body {
    fn default() -> Self {
        Body::Chunks(Vec::new())
    }
}

impl Body {
    fn chunks(&self) -> Vec<Vec<u8>> {
        match self {
            Body::Whole(text) if text.is_empty() => Vec::new(),
            Body::Whole(text) => vec![text.clone().into_bytes()],
            Body::Chunks(chunks) => chunks.iter().map(|chunk| chunk.clone().into_bytes()).collect(),
        }
    }
}

/// An answer to HTTP calls of an upstream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpCall {
    pub upstream: String,
    pub status: Option<u32>,
    pub headers: Lines,
    pub body: Body,
    pub trailers: Lines,
    pub fail: bool,
    pub delay_ms: u64,
}

/// An answer to gRPC calls of an upstream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GrpcCall {
    pub upstream: String,
    pub service: String,
    pub method: String,
    pub message: String,
    pub status: u32,
    pub status_message: String,
    pub delay_ms: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Step {
    Request(Box<RequestStep>),
    Connection(ConnectionStep),
    /// Moves the clock by so many milliseconds.
    Tick(u64),
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RequestStep {
    pub method: Option<String>,
    pub path: Option<String>,
    pub authority: Option<String>,
    pub headers: Lines,
    pub body: Body,
    pub trailers: Lines,
    pub response: Option<ResponseStep>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResponseStep {
    pub status: Option<u32>,
    pub headers: Lines,
    pub body: Body,
    pub trailers: Lines,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionStep {
    pub downstream: Vec<String>,
    pub upstream: Vec<String>,
}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is not a scenario: the message has line and column.
    pub fn read(path: &Path) -> anyhow::Result<Scenario> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))
            .map_err(|error| usage(format!("{error:#}")))?;
        serde_json::from_str(&text).map_err(|error| usage(format!("{} is not a scenario: {error}", path.display())))
    }

    /// Traffic for a plugin of which nothing is known: a few requests with and without body, and a connection.
    pub fn standard() -> Scenario {
        let request = |method: &str, path: &str, body: Body| {
            let headers = vec![
                ("user-agent".to_owned(), "dynvm".to_owned()),
                ("accept".to_owned(), "*/*".to_owned()),
                ("x-request-id".to_owned(), "6b1f4f0e-0000-4000-8000-000000000001".to_owned()),
            ];
            let (method, path) = (Some(method.to_owned()), Some(path.to_owned()));
            Step::Request(Box::new(RequestStep { method, path, headers, body, ..RequestStep::default() }))
        };
        let steps = vec![
            request("GET", "/", Body::default()),
            request("GET", "/hello?name=world", Body::default()),
            request("POST", "/submit", Body::Whole("{\"name\":\"value\",\"list\":[1,2,3]}".to_owned())),
            request("PUT", "/chunks", Body::Chunks(vec!["first ".to_owned(), "second".to_owned()])),
        ];
        Scenario { steps, ..Scenario::default() }
    }

    /// A host configured as the scenario says.
    ///
    /// # Errors
    ///
    /// The failure policy is not known.
    pub fn host(&self) -> anyhow::Result<MemoryHostBuilder> {
        let plugin = &self.plugin;
        let mut vm = VmConfig::with_id(&plugin.vm_id);
        vm.configuration = plugin.vm_configuration.bytes();
        vm.environment = self.environment.clone();
        let policy = match &plugin.failure_policy {
            Some(name) => name.parse::<FailurePolicy>().map_err(usage)?,
            None => FailurePolicy::default(),
        };
        let config = PluginConfig::named(&plugin.name)
            .root_id(&plugin.root_id)
            .configuration(plugin.configuration.bytes())
            .failure_policy(policy);
        let mut host = MemoryHost::builder().vm_config(vm).plugin_config(config);
        for (path, value) in &self.properties {
            host = host.property(path, value.bytes());
        }
        for call in &self.http_calls {
            host = host.http_answer(call.answer());
        }
        for call in &self.grpc_calls {
            host = host.grpc_answer(call.answer());
        }
        Ok(host)
    }
}

fn headers(lines: &Lines) -> Headers {
    lines.iter().map(|(name, value)| (name, value)).collect()
}

fn response(status: u32, lines: &Lines, body: &Body, trailers: &Lines) -> Response {
    let mut response = Response::new(status);
    for (name, value) in lines {
        response = response.header(name, value);
    }
    response.message.chunks = body.chunks();
    response.message.trailers = headers(trailers);
    response
}

impl HttpCall {
    fn answer(&self) -> HttpAnswer {
        let Response { message: Message { headers, chunks, trailers } } =
            response(self.status.unwrap_or(200), &self.headers, &self.body, &self.trailers);
        let response = HttpCallResponse { headers, body: chunks.concat(), trailers };
        HttpAnswer {
            upstream: self.upstream.clone(),
            response: (!self.fail).then_some(response),
            delay: Duration::from_millis(self.delay_ms),
        }
    }
}

impl GrpcCall {
    fn answer(&self) -> GrpcAnswer {
        GrpcAnswer {
            upstream: self.upstream.clone(),
            service: self.service.clone(),
            method: self.method.clone(),
            message: self.message.clone().into_bytes(),
            status: self.status,
            status_message: self.status_message.clone(),
            delay: Duration::from_millis(self.delay_ms),
            ..GrpcAnswer::default()
        }
    }
}

impl RequestStep {
    pub fn request(&self) -> Request {
        let method = self.method.as_deref().unwrap_or("GET");
        let mut request = Request::new(method, self.path.as_deref().unwrap_or("/"));
        if let Some(authority) = &self.authority {
            request = request.header(":authority", authority);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.message.chunks = self.body.chunks();
        request.message.trailers = headers(&self.trailers);
        if let Some(step) = &self.response {
            request.upstream = Some(response(step.status.unwrap_or(200), &step.headers, &step.body, &step.trailers));
        }
        request
    }
}

impl ConnectionStep {
    pub fn connection(&self) -> Connection {
        let bytes = |chunks: &[String]| chunks.iter().map(|chunk| chunk.clone().into_bytes()).collect();
        Connection { downstream: bytes(&self.downstream), upstream: bytes(&self.upstream) }
    }
}
