//! Takes a host through a scenario and notes all that could be seen from outside.

use std::collections::BTreeMap;
use std::time::Duration;

use dynvm::CallError;
use dynvm::abi::types::LogLevel;
use dynvm::host::MetricValue;
use dynvm_sim::{Exchange, HttpStream, MadeCall, SimProxy, Step as Callback, StepError, StreamView, TcpExchange};

use super::step::headers;
use super::{Event, Scenario, Step};

/// What was seen of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// What became of it.
    pub result: Observation,
    /// Callbacks, and what the plugin answered.
    pub callbacks: Vec<Callback>,
    /// Calls that the plugin made.
    pub calls: Vec<MadeCall>,
    /// What was logged.
    pub log: Vec<(LogLevel, String)>,
    /// The metrics as they are.
    pub metrics: Vec<(String, MetricValue)>,
    /// How the VM failed, if it has.
    pub failure: Option<String>,
}

/// What became of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Observation {
    /// The plugin was started.
    #[default]
    Start,
    /// A request.
    Http(Box<Exchange>),
    /// A connection.
    Tcp(TcpExchange),
    /// Streams side by side, in the order of their ends.
    Interleaved(Vec<StreamEnd>),
    /// Time has passed.
    Tick,
}

/// What became of one of several streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEnd {
    /// The number that the step gave it.
    pub stream: u32,
    /// What it had come to; `None`: its VM was gone.
    pub view: Option<Box<StreamView>>,
}

impl Observed {
    /// Upstreams of HTTP calls for which the scenario has no answer, so that they failed at once.
    pub fn unanswered<'a>(&'a self, scenario: &'a Scenario) -> impl Iterator<Item = String> + 'a {
        self.calls.iter().filter_map(move |call| match call {
            MadeCall::Http(call)
                if !scenario.http_calls.iter().any(|known| known.upstream.as_bytes() == call.upstream) =>
            {
                Some(String::from_utf8_lossy(&call.upstream).into_owned())
            }
            _ => None,
        })
    }
}

/// Takes a host through one step.
///
/// # Errors
///
/// The plugin has been stopped.
pub fn drive_step(host: &mut SimProxy, step: &Step) -> Result<Observation, CallError> {
    Ok(match step {
        Step::Request(request) => Observation::Http(Box::new(host.send(request.request())?)),
        Step::Connection(connection) => Observation::Tcp(host.connect(connection.connection())?),
        Step::Interleaved(events) => Observation::Interleaved(interleave(host, events)?),
        Step::Tick(milliseconds) => {
            host.advance(Duration::from_millis(*milliseconds));
            Observation::Tick
        }
    })
}

fn interleave(host: &mut SimProxy, events: &[Event]) -> Result<Vec<StreamEnd>, CallError> {
    let mut open: BTreeMap<u32, HttpStream> = BTreeMap::new();
    let mut ends = Vec::new();
    for event in events {
        match event {
            Event::Open { stream } => {
                let opened = host.open(&[])?;
                if let Some(before) = open.insert(*stream, opened) {
                    ends.push(end(host, *stream, before));
                }
            }
            Event::Close { stream } => {
                if let Some(closed) = open.remove(stream) {
                    ends.push(end(host, *stream, closed));
                }
            }
            Event::Tick(milliseconds) => host.advance(Duration::from_millis(*milliseconds)),
            arrival => {
                if let Some(stream) = arrival.stream().and_then(|number| open.get(&number)) {
                    // What no proxy would send is not sent: a scenario that lost steps when it was made smaller is still one.
                    let _ = arrive(host, *stream, arrival);
                }
            }
        }
    }
    for (number, stream) in open {
        ends.push(end(host, number, stream));
    }
    Ok(ends)
}

fn arrive(host: &mut SimProxy, stream: HttpStream, event: &Event) -> Result<(), StepError> {
    match event {
        Event::Headers { direction, headers: lines, end, .. } => {
            host.headers(stream, (*direction).into(), headers(lines), *end)?;
        }
        Event::Body { direction, chunk, end, .. } => {
            host.body(stream, (*direction).into(), chunk.0.clone(), *end)?;
        }
        Event::Trailers { direction, trailers, .. } => {
            host.trailers(stream, (*direction).into(), headers(trailers))?;
        }
        Event::Open { .. } | Event::Close { .. } | Event::Tick(_) => {}
    }
    Ok(())
}

fn end(host: &mut SimProxy, number: u32, stream: HttpStream) -> StreamEnd {
    StreamEnd { stream: number, view: host.close(stream).ok().map(Box::new) }
}

/// Takes a host through all steps, handing what was seen of each to `see`. The start is seen first.
///
/// # Errors
///
/// The plugin has been stopped.
pub fn drive(
    host: &mut SimProxy,
    scenario: &Scenario,
    mut see: impl FnMut(Option<&Step>, Observed),
) -> Result<(), CallError> {
    see(None, observe(host, Observation::Start));
    for step in &scenario.steps {
        let result = drive_step(host, step)?;
        let observed = observe(host, result);
        see(Some(step), observed);
    }
    Ok(())
}

fn observe(host: &mut SimProxy, result: Observation) -> Observed {
    Observed {
        result,
        callbacks: host.take_steps(),
        calls: host.take_calls(),
        log: host.take_log(),
        metrics: host.metrics(),
        failure: host.failure().map(|failure| failure.message),
    }
}
