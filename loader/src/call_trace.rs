//! Tracing of calls: every callback and hostcall with its arguments and results.
//!
//! A VM without a tracer pays nothing for this. With one, each call is decoded by the table of the
//! ABI and passed to the tracer.

use std::fmt::{self, Write as _};

use dynvm_abi::types::{BufferType, LogLevel, MapType, MetricType, Status, StreamType};

/// A decoded argument or result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// An integer of any of the ABI's types. Enumerations are numbers too; [`list`] prints their
    /// names.
    Number(i128),
    /// Bytes read from or written to the plugin's memory.
    Bytes(Vec<u8>),
    /// An address outside the memory that the plugin may use.
    Invalid,
}

/// A value with the name of its parameter in the ABI's table.
pub type Named = (&'static str, Value);

/// One step of the conversation between host and plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The host calls the plugin. Sent for callbacks that the plugin does not export, too.
    CallbackEnter {
        /// The callback's name, `proxy_on_...`.
        name: &'static str,
        /// Its arguments, in order.
        arguments: Vec<Named>,
    },
    /// The plugin returns to the host, or fails.
    CallbackLeave {
        /// The callback's name, as in the `CallbackEnter` before it.
        name: &'static str,
        /// The returned value; `None` if the callback returns nothing, is not exported, or failed.
        returned: Option<u32>,
        /// False if the plugin does not export the callback: no code has run.
        exported: bool,
        /// Description of the failure, if the VM failed in this call.
        failure: Option<String>,
    },
    /// The plugin called the host, and the host has answered. Sent between `CallbackEnter` and
    /// `CallbackLeave`, or from the start functions.
    Hostcall {
        /// The hostcall's name, `proxy_...`.
        name: &'static str,
        /// Its arguments, in order. An address and its size become one value.
        arguments: Vec<Named>,
        /// The status returned to the plugin.
        status: Status,
        /// The values written to the plugin's memory; empty unless the status is OK.
        results: Vec<Named>,
    },
}

/// Receives events on the VM's thread, inside callbacks: it must not call into the VM.
pub trait Tracer {
    /// Receives one event.
    fn event(&mut self, event: Event);
}

impl<F: FnMut(Event)> Tracer for F {
    fn event(&mut self, event: Event) {
        self(event);
    }
}

/// One line, as `dynvm run --trace` prints it.
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

/// Formats arguments or results for reading: enumerations by name, header maps as lists, other
/// bytes as text.
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

/// Formats bytes, as a header map if the ABI has one under this name.
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

/// Formats bytes as text: what is not printable is escaped, long values are shortened.
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
