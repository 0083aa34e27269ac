//! Scenarios: a plugin's configuration and traffic, as a JSON file.

mod bytes;
mod calls;
mod drive;
pub(crate) mod fields;
mod step;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dynvm::{FailurePolicy, PluginConfig, VmConfig};
use dynvm_sim::{SimProxy, SimProxyBuilder};
use serde::{Deserialize, Serialize};

pub use bytes::{Bytes, Lines};
pub use calls::{GrpcCall, HttpCall};
pub use drive::{Observation, Observed, StreamEnd, drive, drive_step};
pub use step::{Body, ConnectionStep, Event, RequestStep, ResponseStep, Step, Way};

/// Name of the scenario file in a plugin's directory.
pub const FILE_NAME: &str = "scenario.json";

/// Error of reading a scenario or traffic file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file cannot be read.
    #[error("{path} cannot be read", path = path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The file is malformed.
    #[error("{path} is not {format}: {what}", path = path.display())]
    Malformed {
        /// Path of the file.
        path: PathBuf,
        /// The expected format.
        format: &'static str,
        /// Description and position of the error.
        what: String,
    },
}

/// A plugin's configuration and traffic.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// The plugin's configuration.
    pub plugin: Plugin,
    /// Environment variables of the plugin.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Properties of each stream, by dotted path.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, Property>,
    /// Start time in milliseconds since 1970. Default: 2024-01-01T00:00:00Z.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time_ms: Option<u64>,
    /// Seed of the host's randomness.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random_seed: Option<u64>,
    /// Answers to HTTP calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http_calls: Vec<HttpCall>,
    /// Answers to gRPC calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grpc_calls: Vec<GrpcCall>,
    /// The traffic, in order.
    pub steps: Vec<Step>,
}

/// The plugin's configuration, as in Envoy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plugin {
    /// Name of the plugin.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Root id: selects a plugin within the module.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub root_id: String,
    /// VM id: VMs with the same id share data and queues.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vm_id: String,
    /// The plugin's configuration.
    #[serde(skip_serializing_if = "Text::is_none")]
    pub configuration: Text,
    /// The VM's configuration.
    #[serde(skip_serializing_if = "Text::is_none")]
    pub vm_configuration: Text,
    /// Failure policy of the VM.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "failure_policy")]
    pub failure_policy: Option<String>,
}

/// Validates the name during parsing, so that the error has a line.
fn failure_policy<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    if let Some(Err(error)) = name.as_ref().map(|name| name.parse::<FailurePolicy>()) {
        return Err(serde::de::Error::custom(error));
    }
    Ok(name)
}

/// A configuration: a string verbatim, any other JSON value as JSON (like Envoy's `Struct`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Text(pub serde_json::Value);

impl Text {
    fn is_none(&self) -> bool {
        self.0.is_null()
    }

    /// The bytes that the plugin reads.
    pub fn bytes(&self) -> Vec<u8> {
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

/// A property in the ABI's encoding: strings raw, numbers as 8 bytes, booleans as one.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Property {
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// A string, or arbitrary bytes.
    String(Bytes),
}

impl Property {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Property::Bool(value) => vec![u8::from(*value)],
            Property::Int(value) => value.to_le_bytes().to_vec(),
            Property::Double(value) => value.to_le_bytes().to_vec(),
            Property::String(value) => value.0.clone(),
        }
    }
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is not a scenario; the message has line and column.
    pub fn read(path: &Path) -> Result<Scenario, FileError> {
        let text = std::fs::read_to_string(path).map_err(|source| FileError::Io { path: path.to_owned(), source })?;
        Scenario::parse(&text).map_err(|error| FileError::Malformed {
            path: path.to_owned(),
            format: "a scenario",
            what: error.to_string(),
        })
    }

    /// Parses a scenario.
    ///
    /// # Errors
    ///
    /// The text is not a scenario; the message has line and column.
    pub fn parse(text: &str) -> Result<Scenario, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Writes a file that [`Scenario::read`] reads.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), std::io::Error> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(path, text)
    }

    /// Default traffic for an unknown plugin: a few requests with and without body.
    pub fn standard() -> Scenario {
        let request = |method: &str, path: &str, body: Body| {
            let mut headers = Lines::default();
            headers.push("user-agent", "dynvm");
            headers.push("accept", "*/*");
            headers.push("x-request-id", "6b1f4f0e-0000-4000-8000-000000000001");
            let (method, path) = (Some(method.into()), Some(path.into()));
            Step::Request(Box::new(RequestStep { method, path, headers, body, ..RequestStep::default() }))
        };
        let steps = vec![
            request("GET", "/", Body::default()),
            request("GET", "/hello?name=world", Body::default()),
            request("POST", "/submit", Body::Whole("{\"name\":\"value\",\"list\":[1,2,3]}".into())),
            request("PUT", "/chunks", Body::Chunks(vec!["first ".into(), "second".into()])),
        ];
        Scenario { steps, ..Scenario::default() }
    }

    /// A builder for a host with the scenario's configuration.
    pub fn host(&self) -> SimProxyBuilder {
        let plugin = &self.plugin;
        let mut vm = VmConfig::with_id(&plugin.vm_id);
        vm.configuration = Some(plugin.vm_configuration.bytes());
        vm.environment = self.environment.clone();
        // Validated when the file was read.
        let policy = plugin.failure_policy.as_ref().and_then(|name| name.parse().ok()).unwrap_or_default();
        let config = PluginConfig::named(&plugin.name)
            .root_id(&plugin.root_id)
            .configuration(plugin.configuration.bytes())
            .failure_policy(policy);
        let mut host = SimProxy::builder().vm_config(vm).plugin_config(config);
        host = host.random_seed(self.random_seed.unwrap_or_default());
        if let Some(start) = self.start_time_ms {
            host = host.clock_at(Duration::from_millis(start));
        }
        for (path, value) in &self.properties {
            host = host.property(path, value.bytes());
        }
        for call in &self.http_calls {
            host = host.http_answer(call.answer());
        }
        for call in &self.grpc_calls {
            host = host.grpc_answer(call.answer());
        }
        host
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let text = r#"{
            "plugin": {"name": "p", "configuration": {"a": 1}, "failure_policy": "FAIL_RELOAD"},
            "properties": {"a.b": 1, "c": "text", "d": true, "e": 0.5, "f": {"base64": "/w=="}},
            "random_seed": 7,
            "http_calls": [{"upstream": "u", "body": ["a", {"base64": "/w=="}], "delay_ms": 5}],
            "grpc_calls": [{"upstream": "g", "message": {"base64": "AAE="}, "status": 3}],
            "steps": [
                {"tick": 5},
                {"request": {"path": {"base64": "L/8="}, "headers": [["x", "\u0000"]], "response": {"status": 204}}},
                {"connection": {"downstream": ["a", ""], "upstream": []}},
                {"interleaved": [
                    {"open": {"stream": 1}},
                    {"headers": {"stream": 1, "direction": "request", "headers": {":path": "/"}, "end": false}},
                    {"tick": 3},
                    {"body": {"stream": 1, "direction": "request", "chunk": "", "end": true}},
                    {"trailers": {"stream": 1, "direction": "response", "trailers": []}},
                    {"close": {"stream": 1}}
                ]}
            ]
        }"#;
        let scenario = Scenario::parse(text).unwrap();
        assert_eq!(scenario.steps.iter().map(Step::streams).sum::<u64>(), 3);
        let written = serde_json::to_string(&scenario).unwrap();
        assert_eq!(Scenario::parse(&written).unwrap(), scenario, "{written}");
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, part) in [
            (r#"{"stepz": []}"#, "unknown field `stepz`"),
            (r#"{"steps": [{"tik": 5}]}"#, "unknown variant `tik`"),
            ("{\"steps\": [\n{\"tick\": -1}]}", "line 2"),
            (r#"{"plugin": {"failure_policy": "FAIL_SOMEHOW"}}"#, "unknown failure policy"),
            (r#"{"steps": [{"request": {"headers": [["only a name"]]}}]}"#, "invalid length 1"),
        ] {
            let error = Scenario::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{part:?} is in {error:?}");
        }
    }
}
