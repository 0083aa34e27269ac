//! Starts a plugin in a host in memory. Of a plugin that does not start, the log is kept: it mostly says why.

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
    /// What went wrong.
    pub error: StartError,
    /// What the plugin logged until then.
    pub log: Vec<(LogLevel, String)>,
}

impl NotStarted {
    /// Whether the build cannot be run on this machine at all. Then nothing of the plugin has run, so its behaviour is unknown.
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
/// It did not start.
pub fn start(
    builder: SimProxyBuilder,
    module: &Module,
    tracer: Option<Box<dyn Tracer>>,
) -> Result<SimProxy, NotStarted> {
    let log = Arc::new(MemoryLog::with_level(LogLevel::Trace));
    let started = builder.log_to(log.clone()).start_traced(module, tracer);
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
