//! Logs of plugins: standard error, memory, or none.

use std::io::Write;
use std::sync::Mutex;

use dynvm_abi::types::LogLevel;

/// Origin of a log message.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LogSource<'a> {
    /// The VM's configured id, [`VmConfig::vm_id`](crate::VmConfig::vm_id).
    pub vm_id: &'a str,
    /// The plugin's name; empty for messages of the VM itself.
    pub plugin: &'a str,
    /// The context that logged; 0 for the VM itself.
    pub context_id: u32,
}

impl<'a> LogSource<'a> {
    /// The VM itself as origin, with a plugin's name, for messages of the host about that plugin.
    pub fn vm(vm_id: &'a str, plugin: &'a str) -> LogSource<'a> {
        LogSource { vm_id, plugin, context_id: 0 }
    }
}

/// Receives messages of plugins, and of the loader about them.
pub trait Log: Send + Sync {
    /// Receives one message, on any thread. It may contain newlines and need not be UTF-8.
    fn log(&self, source: LogSource<'_>, level: LogLevel, message: &[u8]);

    /// The lowest level of interest, which plugins can read (`proxy_get_log_level`). Messages below
    /// it are dropped before [`log`](Log::log).
    fn level(&self) -> LogLevel {
        LogLevel::Info
    }
}

/// A log on standard error, one line per message.
pub struct StderrLog {
    level: LogLevel,
}

impl StderrLog {
    /// A log that drops messages below this level.
    pub fn with_level(level: LogLevel) -> StderrLog {
        StderrLog { level }
    }
}

impl Default for StderrLog {
    fn default() -> Self {
        StderrLog::with_level(LogLevel::Info)
    }
}

impl Log for StderrLog {
    fn log(&self, source: LogSource<'_>, level: LogLevel, message: &[u8]) {
        let text = String::from_utf8_lossy(message);
        // A closed standard error must not fail a request.
        let _ = writeln!(
            std::io::stderr().lock(),
            "[{}] {} {}: {text}",
            level.name().to_lowercase(),
            source.plugin,
            source.context_id,
        );
    }

    fn level(&self) -> LogLevel {
        self.level
    }
}

/// A log that stores messages, for tests and for comparing runs.
pub struct MemoryLog {
    level: LogLevel,
    messages: Mutex<Vec<(LogLevel, String)>>,
}

impl MemoryLog {
    /// A log that drops messages below this level.
    pub fn with_level(level: LogLevel) -> MemoryLog {
        MemoryLog { level, messages: Mutex::default() }
    }

    /// Removes and returns the stored messages. Bytes that are not UTF-8 are replaced.
    pub fn take(&self) -> Vec<(LogLevel, String)> {
        std::mem::take(&mut self.messages.lock().unwrap_or_else(|e| e.into_inner()))
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        MemoryLog::with_level(LogLevel::Trace)
    }
}

impl Log for MemoryLog {
    fn log(&self, _: LogSource<'_>, level: LogLevel, message: &[u8]) {
        let text = String::from_utf8_lossy(message).into_owned();
        self.messages.lock().unwrap_or_else(|e| e.into_inner()).push((level, text));
    }

    fn level(&self) -> LogLevel {
        self.level
    }
}

/// A log that drops all messages.
pub struct NoLog;

impl Log for NoLog {
    fn log(&self, _: LogSource<'_>, _: LogLevel, _: &[u8]) {}

    fn level(&self) -> LogLevel {
        LogLevel::Critical
    }
}
