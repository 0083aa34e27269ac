//! One pass of the traffic through one Envoy: what the client got, what the upstreams saw, log and metrics.

use std::path::Path;
use std::time::Duration;

use dynvm::host::MetricValue;
use dynvm_compare::rules::{Applied, Rule};
use dynvm_compare::text::exact;
use dynvm_compare::trace::{Aspect, StepTrace};

use super::config::{METRICS, Setup};
use super::http1::Message;
use super::log;
use super::process::Envoy;
use super::traffic::{Client, Sent};
use super::{Trial, upstream::Upstream};

/// Time after which what follows a response, such as its log, has happened.
const SETTLE: Duration = Duration::from_millis(300);

/// The beginning of the aspects of a call.
const CALL: &str = "call to ";

/// A header that differs from run to run.
const VOLATILE: [&str; 1] = ["date"];

pub type Trace = StepTrace<Vec<Aspect>>;

/// A pass: the traces of its steps, then one of the log and one of the metrics.
pub fn pass(trial: &Trial, setup: Setup, dir: &Path) -> anyhow::Result<Vec<Trace>> {
    let levels = ["-l", "warning", "--component-log-level", "wasm:trace,dynamic_modules:trace"];
    let mut envoy = trial.start(setup, dir, &levels)?;
    let mut client = Client::new(envoy.port);
    // Starts the plugin on the worker thread, which V8 does ahead and the module at the first request.
    client.send(b"GET /dynvm-warm-up HTTP/1.1\r\nhost: dynvm\r\n\r\n").or_else(|error| failed(&mut envoy, error))?;
    std::thread::sleep(SETTLE);
    let (log_start, metrics_start) = (envoy.log().len(), metrics(&envoy)?);

    trial.record(true);
    let mut traces = Vec::new();
    for step in &trial.traffic {
        trial.interrupt.check()?;
        let mut lines = Vec::new();
        match step {
            Sent::Pause { time, .. } => std::thread::sleep(*time),
            Sent::Request { request, answer, .. } => {
                trial.upstream.answer(answer.clone());
                match client.send(&request.bytes(false)) {
                    Ok(response) => of_message(&mut lines, "response", "status", &response),
                    Err(error) => {
                        envoy.check()?;
                        lines.push(("response".to_owned(), format!("none: {error}")));
                    }
                }
            }
        }
        of_upstream(&mut lines, "upstream", &trial.upstream);
        for (name, upstream) in &trial.calls {
            if let Some(upstream) = upstream {
                of_upstream(&mut lines, &format!("{CALL}{name}"), upstream);
            }
        }
        traces.push(Trace { result: lines, ..Trace::default() });
    }
    trial.record(false);

    std::thread::sleep(SETTLE);
    envoy.check()?;
    let events = log::messages(envoy.log().get(log_start..).unwrap_or_default());
    let since = |(name, value): (String, i64)| {
        let before = metrics_start.iter().find(|(other, _)| *other == name).map_or(0, |(_, value)| *value);
        // A gauge, as it may also have become less.
        (name, MetricValue::Gauge(value - before))
    };
    let metrics = metrics(&envoy)?.into_iter().map(since).filter(|(_, value)| *value != MetricValue::Gauge(0));
    traces.push(Trace { events, ..Trace::default() });
    traces.push(Trace { metrics: Some(metrics.collect()), ..Trace::default() });
    Ok(traces)
}

/// Drops the header that Envoy adds to the calls of modules, if V8's have none.
pub fn drop_forwarded_for(traces: &mut [Trace], v8: &[Trace], applied: &mut Applied) {
    let is_header = |aspect: &Aspect| aspect.0.starts_with(CALL) && aspect.0.ends_with(" header x-forwarded-for");
    for (trace, v8) in traces.iter_mut().zip(v8) {
        if trace.result.iter().any(is_header) && !v8.result.iter().any(is_header) {
            applied.count(Rule::CallForwardedFor);
            trace.result.retain(|aspect| !is_header(aspect));
        }
    }
}

fn failed<T>(envoy: &mut Envoy, error: std::io::Error) -> anyhow::Result<T> {
    envoy.check()?;
    Err(anyhow::Error::new(error).context("Envoy does not answer"))
}

fn of_upstream(lines: &mut Vec<Aspect>, name: &str, upstream: &Upstream) {
    for request in upstream.take() {
        of_message(lines, name, "request", &request);
    }
}

/// A message as lines. Headers are sorted by name: the order of different ones has no meaning.
fn of_message(lines: &mut Vec<Aspect>, side: &str, start: &str, message: &Message) {
    lines.push((format!("{side} {start}"), message.start.clone()));
    let mut headers: Vec<_> = message.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    headers.retain(|(name, _)| !VOLATILE.contains(&name.as_str()));
    headers.sort_by(|a, b| a.0.cmp(&b.0));
    lines.extend(headers.into_iter().map(|(name, value)| (format!("{side} header {name}"), exact(value))));
    if !message.body.is_empty() {
        lines.push((format!("{side} body"), exact(&message.body)));
    }
    let trailers = message.trailers.iter();
    lines.extend(trailers.map(|(name, value)| (format!("{side} trailer {}", name.to_ascii_lowercase()), exact(value))));
}

/// Counters and gauges of plugins that were used. Histograms become visible too late to be compared.
fn metrics(envoy: &Envoy) -> anyhow::Result<Vec<(String, i64)>> {
    let text = envoy.admin(&format!("/stats?usedonly&filter=^{METRICS}"))?;
    let metric = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        Some((name.strip_prefix(METRICS)?.trim_start_matches('.').to_owned(), value.trim().parse().ok()?))
    };
    let mut metrics: Vec<(String, i64)> = text.lines().filter_map(metric).collect();
    metrics.sort();
    Ok(metrics)
}
