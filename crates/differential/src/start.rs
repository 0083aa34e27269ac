//! Starts a plugin in a simulated proxy, and keeps the log of a failed start, which usually has the reason.

use std::fmt;
use std::sync::Arc;

use dynvm::abi::types::LogLevel;
use dynvm::call_trace::Tracer;
use dynvm::host::MemoryLog;
use dynvm::{Module, StartError};
use dynvm_sim::{SimProxy, SimProxyBuilder};

/// Why a plugin did not start.
#[derive(Debug)]
pub struct NotStarted {
    /// Cause of the start failure.
    pub error: StartError,
    /// Messages logged until then.
    pub log: Vec<(LogLevel, String)>,
}

impl NotStarted {
    /// Whether the build cannot be loaded on this machine at all. No code of the plugin has run
    /// then, so its behavior is unknown.
    pub fn is_unloadable(&self) -> bool {
        matches!(self.error, StartError::Image { .. } | StartError::Instantiate { .. })
    }
}

impl fmt::Display for NotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&dynvm::with_causes(&self.error))?;
        if !self.log.is_empty() {
            f.write_str("\nit logged:")?;
        }
        for (level, line) in &self.log {
            write!(f, "\n  [{}] {}", level.name().to_lowercase(), line.trim_end().replace('\n', "\n  "))?;
        }
        Ok(())
    }
}

impl std::error::Error for NotStarted {}

/// Starts a plugin.
///
/// # Errors
///
/// The plugin did not start.
pub fn start(
    builder: SimProxyBuilder,
    module: &Module,
    tracer: Option<Box<dyn Tracer>>,
) -> Result<SimProxy, NotStarted> {
    let log = Arc::new(MemoryLog::with_level(LogLevel::Trace));
    let started = builder.log_to(log.clone()).tracer(tracer).start(module);
    started.map_err(|error| NotStarted { error, log: log.take() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_logged_is_told_line_by_line() {
        let error = || StartError::Refused { plugin: "p".to_owned(), function: "proxy_on_configure" };
        let text = |log| NotStarted { error: error(), log }.to_string();
        assert_eq!(text(Vec::new()), error().to_string());
        let log = vec![(LogLevel::Info, "a".to_owned()), (LogLevel::Error, "b\nc\n".to_owned())];
        assert_eq!(text(log), format!("{}\nit logged:\n  [info] a\n  [error] b\n  c", error()));
    }
}
