//! The log: messages by context for expectations, counts, and a log file.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use dynvm::abi::types::LogLevel;
use dynvm::host::{Log, LogSource};

/// A file that receives one line per message.
#[derive(Debug)]
pub(crate) struct LogFile(File);

impl LogFile {
    pub(crate) fn open(path: &Path) -> Result<LogFile, String> {
        let file = File::options().append(true).create(true).open(path);
        file.map(LogFile).map_err(|error| format!("{}: cannot be written: {error}", path.display()))
    }

    fn line(&mut self, text: &[u8]) {
        // A full disk must not fail a test.
        let _ = self.0.write_all(&[text, b"\n"].concat());
    }
}

/// Number and size of a context's messages, including discarded ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogCount {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

/// The log of one VM.
pub(crate) struct SuiteLog {
    least: LogLevel,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    file: Option<LogFile>,
    contexts: HashMap<u32, OfContext>,
}

#[derive(Default)]
struct OfContext {
    kept: Vec<(LogLevel, Vec<u8>)>,
    count: LogCount,
}

impl SuiteLog {
    /// Keeps messages of level `least` or above, and appends them to a file.
    pub(crate) fn new(least: LogLevel, file: Option<LogFile>) -> SuiteLog {
        SuiteLog { least, state: Mutex::new(State { file, contexts: HashMap::new() }) }
    }

    /// Writes a line to the file that is not from the plugin.
    pub(crate) fn mark(&self, text: &str) {
        if let Some(file) = &mut self.state().file {
            file.line(text.as_bytes());
        }
    }

    /// Messages of a context since it was last cleared.
    pub(crate) fn of(&self, context: u32) -> Vec<(LogLevel, Vec<u8>)> {
        self.state().contexts.get(&context).map(|of| of.kept.clone()).unwrap_or_default()
    }

    pub(crate) fn clear(&self, context: u32) {
        if let Some(of) = self.state().contexts.get_mut(&context) {
            of.kept.clear();
        }
    }

    /// Removes a finished context and returns its counts.
    pub(crate) fn forget(&self, context: u32) -> LogCount {
        self.state().contexts.remove(&context).unwrap_or_default().count
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Log for SuiteLog {
    fn log(&self, source: LogSource<'_>, level: LogLevel, message: &[u8]) {
        let mut state = self.state();
        let of = state.contexts.entry(source.context_id).or_default();
        of.count.entries += 1;
        of.count.bytes += message.len() as u64;
        if level < self.least {
            return;
        }
        of.kept.push((level, message.to_vec()));
        if let Some(file) = &mut state.file {
            file.line(message);
        }
    }

    /// Plugins always see the lowest level; filtering happens above.
    fn level(&self) -> LogLevel {
        LogLevel::Trace
    }
}
