//! Plugins' messages in Envoy's log.

use dynvm::abi::types::{LogLevel, Status};
use dynvm::call_trace::{Event, Value};

/// The messages of plugins, as the hostcalls that logged them.
pub fn messages(log: &str) -> Vec<Event> {
    log.lines().filter_map(message).collect()
}

/// A line is `dynvm-trial LEVEL LOGGER wasm log NAME ROOT VM: MESSAGE`; the module writes it as V8's filter does, but for
/// the root id.
fn message(line: &str) -> Option<Event> {
    let (level, rest) = line.strip_prefix("dynvm-trial ")?.split_once(' ')?;
    let (logger, rest) = rest.split_once(' ')?;
    if !matches!(logger, "wasm" | "dynamic_modules") {
        return None;
    }
    // The module's lines have an empty location before them.
    let rest = rest.strip_prefix("[:] ").unwrap_or(rest);
    let (_, message) = rest.strip_prefix("wasm log")?.split_once(": ")?;
    let level = match level {
        "trace" => LogLevel::Trace,
        "debug" => LogLevel::Debug,
        "info" => LogLevel::Info,
        "warning" => LogLevel::Warn,
        "error" => LogLevel::Error,
        _ => LogLevel::Critical,
    };
    let arguments = vec![("level", Value::Number(level as i128)), ("message", Value::Bytes(message.into()))];
    Some(Event::Hostcall { name: "proxy_log", arguments, status: Status::Ok, results: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_carriers_log_the_same() {
        let lines = "dynvm-trial info wasm wasm log p root: a: b\n\
                     dynvm-trial info dynamic_modules [:] wasm log p: a: b\n\
                     dynvm-trial info main starting\n\
                     dynvm-trial debug wasm Base Wasm created\n";
        let messages = messages(lines);
        assert_eq!(messages.len(), 2);
        assert_eq!(messages[0], messages[1]);
    }
}
