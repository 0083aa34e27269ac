//! Drives a host through a scenario and records the observable behavior.

use std::collections::BTreeMap;
use std::time::Duration;

use dynvm::CallError;
use dynvm::abi::types::LogLevel;
use dynvm::host::MetricValue;
use dynvm_sim::{Exchange, HttpStream, MadeCall, SimProxy, Step as Callback, StepError, StreamView, TcpExchange};

use super::step::headers;
use super::{Event, Scenario, Step};

/// Observed behavior of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Result of the step.
    pub result: Observation,
    /// Callbacks with the plugin's results.
    pub callbacks: Vec<Callback>,
    /// Calls made by the plugin.
    pub calls: Vec<MadeCall>,
    /// Logged messages.
    pub log: Vec<(LogLevel, String)>,
    /// Current metrics.
    pub metrics: Vec<(String, MetricValue)>,
    /// Failure of the VM, if any.
    pub failure: Option<String>,
}

/// Result of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Observation {
    /// The start of the plugin.
    #[default]
    Start,
    /// A request with its response.
    Http(Box<Exchange>),
    /// A TCP connection.
    Tcp(TcpExchange),
    /// Interleaved streams, in the order in which they ended.
    Interleaved(Vec<StreamEnd>),
    /// A clock step.
    Tick,
}

/// Result of one of several streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEnd {
    /// Number of the stream within the step.
    pub stream: u32,
    /// Final state; `None` if its VM was gone.
    pub view: Option<Box<StreamView>>,
}

impl Observed {
    /// Upstreams of HTTP calls without an answer in the scenario; those calls failed immediately.
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

/// Drives a host through one step.
///
/// # Errors
///
/// The plugin was stopped.
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
                    // Impossible events are skipped, so that a scenario stays valid when shrinking removes events.
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

/// Drives a host through all steps and passes each observation to `see`, starting with the start.
///
/// # Errors
///
/// The plugin was stopped.
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
