//! Watching what passes between host and plugin: every callback and hostcall with its arguments and results.
//!
//! A VM without a tracer pays nothing for this; with one, each call is decoded by the table of the ABI and handed to the tracer.

use std::fmt::{self, Write as _};

use dynvm_abi::types::{BufferType, LogLevel, MapType, MetricType, Status, StreamType};

/// An argument or result, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// A number.
    Number(i128),
    /// Bytes, read from or written to the plugin's memory.
    Bytes(Vec<u8>),
    /// An address that the plugin may not use.
    Invalid,
}

/// A named argument or result.
pub type Named = (&'static str, Value);

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The host calls the plugin.
    CallbackEnter {
        /// The callback.
        name: &'static str,
        /// Its arguments.
        arguments: Vec<Named>,
    },
    /// The plugin returns.
    CallbackLeave {
        /// The callback.
        name: &'static str,
        /// What it returned; `None` if it returns nothing, is not exported, or failed.
        returned: Option<u32>,
        /// Whether the plugin exports it.
        exported: bool,
        /// How the VM failed, if it did.
        failure: Option<String>,
    },
    /// The plugin called the host.
    Hostcall {
        /// The hostcall.
        name: &'static str,
        /// Its arguments.
        arguments: Vec<Named>,
        /// What the host answered.
        status: Status,
        /// The values that it returned.
        results: Vec<Named>,
    },
}

/// Takes events, on the VM's thread, inside of callbacks: it must not call into the VM.
pub trait Tracer {
    /// One event.
    fn event(&mut self, event: Event);
}

impl<F: FnMut(Event)> Tracer for F {
    fn event(&mut self, event: Event) {
        self(event);
    }
}

/// In a line, as `dynvm run --trace` has it.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::CallbackEnter { name, arguments } => write!(f, "-> {name}({})", list(arguments)),
            Event::CallbackLeave { name, exported: false, .. } => write!(f, "<- {name} is not exported"),
            Event::CallbackLeave { name, failure: Some(failure), .. } => write!(f, "<- {name} failed: {failure}"),
            Event::CallbackLeave { name, returned: Some(value), .. } => write!(f, "<- {name} = {value}"),
            Event::CallbackLeave { name, .. } => write!(f, "<- {name}"),
            Event::Hostcall { name, arguments, status, results } => {
                write!(f, "     {name}({}) = {}", list(arguments), status.name())?;
                if results.is_empty() { Ok(()) } else { write!(f, ", {}", list(results)) }
            }
        }
    }
}

/// Arguments or results, as people read them: numbers by their names where the ABI has some, bytes as text where they are.
pub fn list(values: &[Named]) -> String {
    let values: Vec<String> = values.iter().map(|(name, value)| format!("{name}: {}", named(name, value))).collect();
    values.join(", ")
}

fn named(name: &str, value: &Value) -> String {
    let number = match value {
        Value::Number(number) => *number,
        Value::Bytes(value) => return named_bytes(name, value),
        Value::Invalid => return "(invalid address)".to_owned(),
    };
    let Ok(small) = u32::try_from(number) else { return number.to_string() };
    let known = match name {
        "map_type" => MapType::from_u32(small).map(MapType::name),
        "buffer_type" => BufferType::from_u32(small).map(BufferType::name),
        "stream_type" => StreamType::from_u32(small).map(StreamType::name),
        "level" => LogLevel::from_u32(small).map(LogLevel::name),
        "metric_type" => MetricType::from_u32(small).map(MetricType::name),
        _ => None,
    };
    known.map_or_else(|| number.to_string(), str::to_owned)
}

/// Bytes, which are header maps where the ABI has one.
fn named_bytes(name: &str, bytes: &[u8]) -> String {
    let is_map = matches!(name, "headers" | "trailers" | "initial_metadata" | "map");
    match crate::header_pairs::decode(bytes).filter(|_| is_map) {
        Some(map) => {
            let lines: Vec<String> = map.iter().map(|(n, v)| format!("{}: {}", escaped(n), escaped(v))).collect();
            format!("{{{}}}", lines.join(", "))
        }
        None => format!("\"{}\"", escaped(bytes)),
    }
}

/// Bytes as text where they are, escaped where not, shortened.
pub fn escaped(bytes: &[u8]) -> String {
    const MOST: usize = 200;
    let mut text = String::new();
    for chunk in bytes[..bytes.len().min(MOST)].utf8_chunks() {
        let _ = write!(text, "{}", chunk.valid().escape_debug());
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    if bytes.len() > MOST {
        let _ = write!(text, "... ({} bytes)", bytes.len());
    }
    text
}
