//! Envoy's log as the log of plugins.

use dynvm::abi::types::LogLevel;
use dynvm::host::{Log, LogSource};

use crate::abi::process;

/// Writes to Envoy's log, at the level that Envoy has for the id `dynamic_modules`.
pub struct EnvoyLog;

impl Log for EnvoyLog {
    fn log(&self, source: LogSource<'_>, level: LogLevel, message: &[u8]) {
        // As Envoy's wasm filter writes it, so that rules for logs keep matching.
        let mut line = Vec::with_capacity(message.len() + 64);
        line.extend_from_slice(b"wasm log");
        for part in [source.plugin, source.vm_id] {
            if !part.is_empty() {
                line.push(b' ');
                line.extend_from_slice(part.as_bytes());
            }
        }
        line.extend_from_slice(b": ");
        line.extend_from_slice(message);
        process::log(level, &line);
    }

    fn level(&self) -> LogLevel {
        process::log_level()
    }
}

/// Logs a message of this module about a filter.
pub fn about(level: LogLevel, filter: &str, message: &str) {
    process::log(level, format!("[dynvm] {filter}: {message}").as_bytes());
}
