//! Where log messages go.

use std::io::Write;
use std::sync::Mutex;

use dynvm_abi::types::LogLevel;

/// Whose message it is.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LogSource<'a> {
    /// The VM's id, as configured.
    pub vm_id: &'a str,
    /// The plugin's name, empty for the VM's own messages.
    pub plugin: &'a str,
    /// The context that logged; 0 is the VM itself.
    pub context_id: u32,
}

impl<'a> LogSource<'a> {
    /// The VM itself, with the name of a plugin, for messages of the host about that plugin.
    pub fn vm(vm_id: &'a str, plugin: &'a str) -> LogSource<'a> {
        LogSource { vm_id, plugin, context_id: 0 }
    }
}

/// Takes messages of plugins and of the loader about them.
pub trait Log: Send + Sync {
    /// One message, from any thread. The text need not be UTF-8.
    fn log(&self, source: LogSource<'_>, level: LogLevel, message: &[u8]);

    /// The least level that is wanted, which plugins may ask for (`proxy_get_log_level`). Messages below it are not passed on.
    fn level(&self) -> LogLevel {
        LogLevel::Info
    }
}

/// Messages to standard error, one line each.
pub struct StderrLog {
    level: LogLevel,
}

impl StderrLog {
    /// Only messages of this level or above.
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
        // A closed standard error is no reason to fail a request.
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

/// Keeps messages, for tests and for comparing runs.
pub struct MemoryLog {
    level: LogLevel,
    messages: Mutex<Vec<(LogLevel, String)>>,
}

impl MemoryLog {
    /// Keeps messages of this level or above.
    pub fn with_level(level: LogLevel) -> MemoryLog {
        MemoryLog { level, messages: Mutex::default() }
    }

    /// The messages so far, which are then forgotten. Bytes that are not UTF-8 are replaced.
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

/// Drops messages.
pub struct NoLog;

impl Log for NoLog {
    fn log(&self, _: LogSource<'_>, _: LogLevel, _: &[u8]) {}

    fn level(&self) -> LogLevel {
        LogLevel::Critical
    }
}
