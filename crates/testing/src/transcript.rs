//! Transcript of a plugin from its start: callbacks, hostcalls, and the test's actions.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use dynvm::call_trace::{Event, Tracer};

/// Maximum number of printed lines; the latest are printed.
const SHOWN: usize = 200;

/// Environment variable that prints the whole transcript.
const WHOLE: &str = "DYNVM_TEST_WHOLE_TRANSCRIPT";

/// A transcript, shared with the tracer that writes it.
#[derive(Clone, Default)]
pub(crate) struct Transcript(Rc<RefCell<Vec<Entry>>>);

enum Entry {
    /// An action of the test.
    Test(String),
    /// A callback or hostcall.
    Plugin(Event),
}

impl Transcript {
    pub(crate) fn tracer(&self) -> Box<dyn Tracer> {
        let entries = self.0.clone();
        Box::new(move |event| entries.borrow_mut().push(Entry::Plugin(event)))
    }

    pub(crate) fn note(&self, what: impl Into<String>) {
        self.0.borrow_mut().push(Entry::Test(what.into()));
    }

    /// Callbacks and hostcalls so far, oldest first.
    pub(crate) fn events(&self) -> Vec<Event> {
        let entries = self.0.borrow();
        entries
            .iter()
            .filter_map(|entry| if let Entry::Plugin(event) = entry { Some(event.clone()) } else { None })
            .collect()
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.0.borrow();
        let skipped = if std::env::var_os(WHOLE).is_some() { 0 } else { entries.len().saturating_sub(SHOWN) };
        if skipped > 0 {
            writeln!(f, "  ({skipped} lines before these: {WHOLE}=1 has all)")?;
        }
        for entry in &entries[skipped..] {
            match entry {
                Entry::Test(what) => writeln!(f, "  {what}")?,
                // Callbacks that the plugin does not export are noise.
                Entry::Plugin(Event::CallbackLeave { exported: false, .. }) => {}
                // The rest of a failure is its backtrace, which the log contains.
                Entry::Plugin(event) => writeln!(f, "    {}", event.to_string().lines().next().unwrap_or_default())?,
            }
        }
        Ok(())
    }
}
