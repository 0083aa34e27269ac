//! What is seen of a step: callbacks and hostcalls with their values, output, results, metrics.

use std::cell::RefCell;
use std::rc::Rc;

use dynvm::abi::types::{LogLevel, Status};
use dynvm::call_trace::{Event, Tracer, Value};
use dynvm::host::MetricValue;

/// Keeps the events of a host until they are taken.
#[derive(Clone, Default)]
pub struct Recorder(Rc<RefCell<Vec<Event>>>);

impl Recorder {
    /// A tracer that hands its events here.
    pub fn tracer(&self) -> Box<dyn Tracer> {
        let events = self.0.clone();
        Box::new(move |event| events.borrow_mut().push(event))
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// The events so far, which are then forgotten. The memory of `events` is used again.
    pub fn take_into(&self, events: &mut Vec<Event>) {
        events.clear();
        std::mem::swap(&mut *self.0.borrow_mut(), events);
    }
}

/// A line of a result: in what, and its value.
pub type Aspect = (String, String);

/// What became of a step beside its calls, for whoever drives the plugin: what went on to the upstream and the client, say.
pub trait StepResult: PartialEq {
    /// The result in lines, which are compared in order.
    fn lines(&self) -> Vec<Aspect>;
}

impl StepResult for Vec<Aspect> {
    fn lines(&self) -> Vec<Aspect> {
        self.clone()
    }
}

/// What was seen of one step on one side.
#[derive(Clone, Debug, Default)]
pub struct StepTrace<R> {
    /// Callbacks and hostcalls, in order.
    pub events: Vec<Event>,
    /// What became of the step.
    pub result: R,
    /// Messages to the log that did not come through `proxy_log`: standard output and error, the loader's own.
    pub written: Vec<(LogLevel, String)>,
    /// The metrics, if a hostcall may have changed them.
    pub metrics: Option<Vec<(String, MetricValue)>>,
    /// How the VM failed, if it has.
    pub failure: Option<String>,
}

impl<R> StepTrace<R> {
    /// Whether a hostcall may have changed metrics.
    pub fn touches_metrics(&self) -> bool {
        let is_metric = |event: &Event| matches!(event, Event::Hostcall { name, .. } if name.ends_with("_metric"));
        self.events.iter().any(is_metric)
    }

    /// Takes out of a log what came through `proxy_log`, which the events have.
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

/// The message of a call of `proxy_log`.
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

/// Whether a message is a text of the log, in which bytes that are not UTF-8 are replaced.
fn is_text(message: &[u8], text: &str) -> bool {
    message == text.as_bytes() || String::from_utf8_lossy(message) == text
}
