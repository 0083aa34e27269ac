//! Starts a plugin in a host in memory.

use std::sync::Arc;

use dynvm::abi::types::LogLevel;
use dynvm::call_trace::Tracer;
use dynvm::host::MemoryLog;
use dynvm::{Module, with_causes};
use dynvm_sim::{SimProxy, SimProxyBuilder};

use crate::exit::load_failure;

/// Starts a plugin.
///
/// # Errors
///
/// It did not start: the error has what it logged, as that mostly says why.
pub fn start(builder: SimProxyBuilder, module: &Module, tracer: Option<Box<dyn Tracer>>) -> anyhow::Result<SimProxy> {
    let log = Arc::new(MemoryLog::with_level(LogLevel::Trace));
    builder
        .log_to(log.clone())
        .start_traced(module, tracer)
        .map_err(|error| load_failure(format!("{}{}", with_causes(&error), logged(&log.take()))))
}

fn logged(lines: &[(LogLevel, String)]) -> String {
    let lines = lines.iter().map(|(level, line)| {
        format!("\n  [{}] {}", level.name().to_lowercase(), line.trim_end().replace('\n', "\n  "))
    });
    let text: String = lines.collect();
    if text.is_empty() { text } else { format!("\nit logged:{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_logged_is_told_line_by_line() {
        assert_eq!(logged(&[]), "");
        let lines = [(LogLevel::Info, "a".to_owned()), (LogLevel::Error, "b\nc\n".to_owned())];
        assert_eq!(logged(&lines), "\nit logged:\n  [info] a\n  [error] b\n  c");
    }
}
