//! Takes a host through a scenario and notes all that could be seen from outside.

use std::time::Duration;

use dynvm::abi::types::LogLevel;
use dynvm::host::MetricValue;
use dynvm::memory::{Exchange, MadeCall, MemoryHost, Step as Callback, TcpExchange};

use super::{Scenario, Step};

/// What was seen of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    pub result: Observation,
    pub callbacks: Vec<Callback>,
    pub calls: Vec<MadeCall>,
    pub log: Vec<(LogLevel, String)>,
    pub metrics: Vec<(String, MetricValue)>,
    pub failure: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// The plugin was started.
    Start,
    Http(Box<Exchange>),
    Tcp(TcpExchange),
    Tick,
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
pub fn drive_step(host: &mut MemoryHost, step: &Step) -> anyhow::Result<Observation> {
    Ok(match step {
        Step::Request(request) => Observation::Http(Box::new(host.send(request.request())?)),
        Step::Connection(connection) => Observation::Tcp(host.connect(connection.connection())?),
        Step::Tick(milliseconds) => {
            host.advance(Duration::from_millis(*milliseconds));
            Observation::Tick
        }
    })
}

/// Takes a host through all steps, handing what was seen of each to `see`. The start is seen first.
pub fn drive(
    host: &mut MemoryHost,
    scenario: &Scenario,
    mut see: impl FnMut(Option<&Step>, Observed),
) -> anyhow::Result<()> {
    see(None, observe(host, Observation::Start));
    for step in &scenario.steps {
        let result = drive_step(host, step)?;
        let observed = observe(host, result);
        see(Some(step), observed);
    }
    Ok(())
}

fn observe(host: &mut MemoryHost, result: Observation) -> Observed {
    Observed {
        result,
        callbacks: host.take_steps(),
        calls: host.take_calls(),
        log: host.take_log(),
        metrics: host.metrics(),
        failure: host.failure().map(|failure| failure.message),
    }
}
