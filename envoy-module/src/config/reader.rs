//! Reads JSON with the path of each field, for errors that say where and what.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

/// An error of the configuration, with the field's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    path: String,
    what: String,
}

impl ConfigError {
    pub(super) fn new(path: impl Into<String>, what: impl Into<String>) -> ConfigError {
        ConfigError { path: path.into(), what: what.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.what) } else { write!(f, "{}: {}", self.path, self.what) }
    }
}

impl std::error::Error for ConfigError {}

/// An object whose fields are read one by one. A field that is never read is an error: it is unknown.
pub(super) struct Object {
    path: String,
    fields: Map<String, Value>,
    known: Vec<&'static str>,
}

/// A field's value and path.
pub(super) struct Field {
    pub(super) path: String,
    pub(super) value: Value,
}

impl Object {
    /// The field of this name; `null` counts as absent, as in JSON for protocol buffers. The name may be written in
    /// Envoy's two ways, `vm_config` and `vmConfig`.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Field> {
        self.known.push(name);
        let value = self.fields.remove(name).or_else(|| self.fields.remove(&camel_case(name)))?;
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        (!value.is_null()).then_some(Field { path, value })
    }

    pub(super) fn string(&mut self, name: &'static str) -> Result<Option<String>, ConfigError> {
        self.take(name).map(Field::string).transpose()
    }

    pub(super) fn bool(&mut self, name: &'static str) -> Result<Option<bool>, ConfigError> {
        self.take(name).map(Field::bool).transpose()
    }

    pub(super) fn duration(&mut self, name: &'static str) -> Result<Option<Duration>, ConfigError> {
        self.take(name).map(Field::duration).transpose()
    }

    pub(super) fn object(&mut self, name: &'static str) -> Result<Option<Object>, ConfigError> {
        self.take(name).map(Field::object).transpose()
    }

    pub(super) fn error(&self, what: impl Into<String>) -> ConfigError {
        ConfigError::new(self.path.clone(), what)
    }

    /// Refuses fields that were not taken, with the name that was probably meant.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        let Some(unknown) = self.fields.keys().next() else { return Ok(()) };
        let nearest = self.known.iter().max_by(|a, b| {
            let likeness = |name| strsim::jaro_winkler(name, unknown);
            likeness(a).total_cmp(&likeness(b))
        });
        let known = self.known.join(", ");
        let what = match nearest {
            Some(name) if strsim::jaro_winkler(name, unknown) > 0.7 => {
                format!("unknown field {unknown:?}; did you mean {name:?}?")
            }
            _ => format!("unknown field {unknown:?}; the fields are {known}"),
        };
        Err(ConfigError::new(self.path, what))
    }
}

impl Field {
    pub(super) fn error(&self, what: impl Into<String>) -> ConfigError {
        ConfigError::new(self.path.clone(), what)
    }

    fn expected(&self, what: &str) -> ConfigError {
        self.error(format!("expected {what}, found {}", self.value))
    }

    pub(super) fn object(self) -> Result<Object, ConfigError> {
        match self.value {
            Value::Object(fields) => Ok(Object { path: self.path, fields, known: Vec::new() }),
            _ => Err(self.expected("an object")),
        }
    }

    pub(super) fn string(self) -> Result<String, ConfigError> {
        match self.value {
            Value::String(text) => Ok(text),
            _ => Err(self.expected("a string")),
        }
    }

    pub(super) fn bool(self) -> Result<bool, ConfigError> {
        self.value.as_bool().ok_or_else(|| self.expected("true or false"))
    }

    /// A duration as protocol buffers write it, `1.5s`, or with another unit, `50ms`.
    pub(super) fn duration(self) -> Result<Duration, ConfigError> {
        let expected = || self.expected("a duration such as \"1s\" or \"50ms\"");
        let text = self.value.as_str().ok_or_else(expected)?;
        if let Some(seconds) = text.strip_suffix('s').and_then(|seconds| seconds.parse::<f64>().ok()) {
            return Duration::try_from_secs_f64(seconds).map_err(|_| expected());
        }
        humantime::parse_duration(text).map_err(|_| expected())
    }

    /// A number of bytes. A `Struct` keeps numbers as floating point.
    pub(super) fn size(self) -> Result<usize, ConfigError> {
        let whole = self.value.as_u64().or_else(|| {
            self.value.as_f64().filter(|number| *number >= 0.0 && number.fract() == 0.0).map(|number| number as u64)
        });
        whole
            .filter(|size| *size > 0)
            .and_then(|size| usize::try_from(size).ok())
            .ok_or_else(|| self.expected("a number of bytes"))
    }

    /// A map from text to text.
    pub(super) fn strings(self) -> Result<Vec<(String, String)>, ConfigError> {
        let object = self.object()?;
        let path = object.path;
        let text = |(key, value)| {
            let field = Field { path: format!("{path}.{key}"), value };
            Ok((key, field.string()?))
        };
        object.fields.into_iter().map(text).collect()
    }

    /// The keys of a map whose values do not matter.
    pub(super) fn keys(self) -> Result<Vec<String>, ConfigError> {
        Ok(self.object()?.fields.into_iter().map(|(key, _)| key).collect())
    }

    pub(super) fn list(self) -> Result<Vec<Field>, ConfigError> {
        match self.value {
            Value::Array(items) => {
                let item = |(index, value)| Field { path: format!("{}[{index}]", self.path), value };
                Ok(items.into_iter().enumerate().map(item).collect())
            }
            _ => Err(self.expected("a list")),
        }
    }

    /// Bytes in base64.
    pub(super) fn base64(self) -> Result<Vec<u8>, ConfigError> {
        let bytes = self.value.as_str().and_then(|text| BASE64.decode(text).ok());
        bytes.ok_or_else(|| self.error("expected bytes in base64"))
    }

    /// What a plugin reads as its configuration, from an `Any` as Envoy converts it: the value of a `StringValue` or
    /// `BytesValue`, the JSON text of a `Struct`. A string stands for itself, an object for its JSON text.
    pub(super) fn configuration(self) -> Result<Vec<u8>, ConfigError> {
        let typed = match &self.value {
            Value::String(text) => return Ok(text.clone().into_bytes()),
            Value::Object(fields) => fields.get("@type").and_then(Value::as_str),
            _ => None,
        };
        let Some(name) = typed.map(|name| name.rsplit('/').next().unwrap_or(name).to_owned()) else {
            return Ok(self.value.to_string().into_bytes());
        };
        let mut object = self.object()?;
        object.take("@type");
        let value = object.take("value");
        let bytes = match (name.as_str(), value) {
            (_, None) => Vec::new(),
            ("google.protobuf.StringValue", Some(value)) => value.string()?.into_bytes(),
            ("google.protobuf.BytesValue", Some(value)) => value.base64()?,
            ("google.protobuf.Struct" | "google.protobuf.Value", Some(value)) => value.value.to_string().into_bytes(),
            _ => {
                let known = "StringValue, BytesValue and Struct (google.protobuf)";
                return Err(object.error(format!("type {name} is not supported; supported are {known}")));
            }
        };
        object.finish()?;
        Ok(bytes)
    }
}

/// Parses the bytes of a filter's configuration.
pub(super) fn parse(bytes: &[u8]) -> Result<Object, ConfigError> {
    // Envoy 1.38 passes the configuration of a route as it is serialized: here that of a `StringValue`.
    let text = || serde_json::from_slice(crate::protobuf::field(bytes, 1)?).ok();
    let value: Value = serde_json::from_slice(bytes).or_else(|error| text().ok_or(error)).map_err(|error| {
        ConfigError::new(
            "",
            format!("the filter's configuration is not JSON (a Struct, or a StringValue of JSON): {error}"),
        )
    })?;
    Field { path: String::new(), value }.object()
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |text, word| {
        let mut letters = word.chars();
        text + &letters.next().map(|letter| letter.to_ascii_uppercase()).into_iter().collect::<String>()
            + letters.as_str()
    })
}
