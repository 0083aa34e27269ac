//! The trace of a step: callbacks and hostcalls with their values, output, result, metrics.

use std::cell::RefCell;
use std::rc::Rc;

use dynvm::abi::types::{LogLevel, Status};
use dynvm::call_trace::{Event, Tracer, Value};
use dynvm::host::MetricValue;

/// Records a host's events until they are taken.
#[derive(Clone, Default)]
pub struct Recorder(Rc<RefCell<Vec<Event>>>);

impl Recorder {
    /// A tracer that records into this recorder.
    pub fn tracer(&self) -> Box<dyn Tracer> {
        let events = self.0.clone();
        Box::new(move |event| events.borrow_mut().push(event))
    }

    /// Number of recorded events.
    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Whether no event is recorded.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Moves the recorded events to `events`, reusing its allocation.
    pub fn take_into(&self, events: &mut Vec<Event>) {
        events.clear();
        std::mem::swap(&mut *self.0.borrow_mut(), events);
    }
}

/// A line of a result: a name and a value.
pub type Aspect = (String, String);

/// The result of a step apart from its calls, defined by the driver: e.g. the messages forwarded to
/// upstream and client.
pub trait StepResult: PartialEq {
    /// The result as lines, which are compared in order.
    fn lines(&self) -> Vec<Aspect>;
}

impl StepResult for Vec<Aspect> {
    fn lines(&self) -> Vec<Aspect> {
        self.clone()
    }
}

/// The trace of one step on one side.
#[derive(Clone, Debug, Default)]
pub struct StepTrace<R> {
    /// Callbacks and hostcalls, in order.
    pub events: Vec<Event>,
    /// Result of the step.
    pub result: R,
    /// Log messages that did not come through `proxy_log`: standard output and error, the loader's own.
    pub written: Vec<(LogLevel, String)>,
    /// Metrics, if a hostcall may have changed them.
    pub metrics: Option<Vec<(String, MetricValue)>>,
    /// Failure of the VM, if any.
    pub failure: Option<String>,
}

impl<R> StepTrace<R> {
    /// Whether a hostcall may have changed metrics.
    pub fn touches_metrics(&self) -> bool {
        let is_metric = |event: &Event| matches!(event, Event::Hostcall { name, .. } if name.ends_with("_metric"));
        self.events.iter().any(is_metric)
    }

    /// Sets `written` to the messages that did not come through `proxy_log`; the events contain the others.
    pub fn set_log(&mut self, log: Vec<(LogLevel, String)>) {
        self.written.clear();
        let mut logged = self.events.iter().filter_map(logged).peekable();
        for (level, text) in log {
            let is_next = logged.peek().is_some_and(|message| is_text(message, &text));
            if is_next {
                logged.next();
            } else {
                self.written.push((level, text));
            }
        }
    }
}

/// The message of a `proxy_log` call.
pub fn logged(event: &Event) -> Option<&[u8]> {
    match event {
        Event::Hostcall { name: "proxy_log", arguments, status: Status::Ok, .. } => {
            arguments.iter().find_map(|(name, value)| match value {
                Value::Bytes(bytes) if *name == "message" => Some(bytes.as_slice()),
                _ => None,
            })
        }
        _ => None,
    }
}

/// Whether a message equals a text of the log, where invalid UTF-8 was replaced.
fn is_text(message: &[u8], text: &str) -> bool {
    message == text.as_bytes() || String::from_utf8_lossy(message) == text
}
