//! Prints a plugin's behavior: exchanges, logs, metrics, calls, traces.

use std::fmt::Write as _;

use dynvm::abi::types::{LogLevel, Status};
pub use dynvm::call_trace::escaped as bytes;
use dynvm::call_trace::{Event, list};
use dynvm::host::{HeaderMap as _, Headers, MetricValue};
use dynvm_sim::{MadeCall, Message, Outcome, StreamView};
use owo_colors::OwoColorize as _;

use crate::scenario::{Observation, Observed, Step};

/// Prints a step and its observations.
pub fn observed(step: Option<&Step>, seen: &Observed, metrics_before: &[(String, MetricValue)]) {
    match step {
        Some(step) => anstream::println!("{}", step.title().bold()),
        None => anstream::println!("{}", "start".bold()),
    }
    let mut line = Vec::new();
    for callback in &seen.callbacks {
        let name = callback.callback.trim_start_matches("proxy_");
        line.push(if callback.answer.is_empty() {
            name.to_owned()
        } else {
            format!("{name} {}", callback.answer.yellow())
        });
    }
    if !line.is_empty() {
        anstream::println!("  callbacks: {}", line.join(", "));
    }
    match &seen.result {
        Observation::Start | Observation::Tick => {}
        Observation::Http(exchange) => {
            if let (Some(Step::Request(request)), Some(upstream)) = (step, &exchange.upstream_request) {
                changes("to upstream", &request.request().message, upstream);
            }
            match &exchange.outcome {
                Outcome::Upstream => {}
                Outcome::LocalResponse { details, .. } if details.is_empty() => {
                    anstream::println!("  {}", "local response".yellow());
                }
                Outcome::LocalResponse { details, .. } => {
                    anstream::println!("  {} ({details})", "local response".yellow())
                }
                Outcome::Closed => anstream::println!("  {}", "closed by the plugin".yellow()),
                Outcome::Failed => anstream::println!("  {}", "failed with the VM".red()),
                Outcome::Paused => {
                    anstream::println!("  {}", "paused, with nothing pending that could resume it".red());
                }
                other => anstream::println!("  {other:?}"),
            }
            message("response", &exchange.response.message);
        }
        Observation::Interleaved(ends) => {
            for end in ends {
                match &end.view {
                    Some(view) => stream(end.stream, view),
                    None => anstream::println!("  stream {}: {}", end.stream, "gone with its VM".red()),
                }
            }
        }
        Observation::Tcp(exchange) => {
            anstream::println!("  to upstream: {:?}", bytes(&exchange.to_upstream));
            anstream::println!("  to downstream: {:?}", bytes(&exchange.to_downstream));
            for (is, what) in [
                (exchange.closed, "closed by the plugin"),
                (exchange.failed, "failed with the VM"),
                (exchange.paused, "paused"),
            ] {
                if is {
                    anstream::println!("  {}", what.yellow());
                }
            }
        }
    }
    for call in &seen.calls {
        match call {
            MadeCall::Http(call) => anstream::println!(
                "  HTTP call to {}: {} {}",
                bytes(&call.upstream),
                header(&call.headers, b":method"),
                header(&call.headers, b":path")
            ),
            MadeCall::Grpc(call) => anstream::println!(
                "  gRPC call to {}: {}/{}",
                bytes(&call.target.upstream),
                bytes(&call.target.service),
                bytes(&call.target.method)
            ),
            other => anstream::println!("  {other:?}"),
        }
    }
    for (level, text) in &seen.log {
        anstream::println!("  {} {text}", log_level(*level));
    }
    for (name, value) in &seen.metrics {
        if !metrics_before.contains(&(name.clone(), value.clone())) {
            anstream::println!("  metric {name} = {}", metric(value));
        }
    }
}

/// Prints the final state of one of several streams.
fn stream(number: u32, view: &StreamView) {
    let state = match view {
        _ if view.failed => "failed with the VM".red().to_string(),
        _ if view.closed => "closed by the plugin".yellow().to_string(),
        _ if view.local_reply.is_some() => "local response".yellow().to_string(),
        _ if view.request_held => "request paused".yellow().to_string(),
        _ if view.response_held => "response paused".yellow().to_string(),
        _ if view.client.complete => "complete".to_owned(),
        _ => "not complete".to_owned(),
    };
    anstream::println!("  stream {number}: {state}");
    message("to upstream", &view.upstream.message);
    message("response", &view.client.message);
}

/// Prints a hint at a call that failed because the scenario has no answer.
pub fn unanswered(upstream: &str) {
    anstream::eprintln!(
        "{} the scenario has no answer from upstream {upstream:?}, so the call failed; add one under \"http_calls\"",
        "note:".yellow()
    );
}

fn header(headers: &Headers, name: &[u8]) -> String {
    headers.get(name).map(bytes).unwrap_or_default()
}

pub fn metric(value: &MetricValue) -> String {
    match value {
        MetricValue::Counter(value) => value.to_string(),
        MetricValue::Gauge(value) => value.to_string(),
        MetricValue::Histogram { count, sum } => format!("{count} samples, sum {sum}"),
        other => format!("{other:?}"),
    }
}

fn log_level(level: LogLevel) -> String {
    let name = format!("[{}]", level.name().to_lowercase());
    match level {
        LogLevel::Error | LogLevel::Critical => name.red().to_string(),
        LogLevel::Warn => name.yellow().to_string(),
        _ => name.dimmed().to_string(),
    }
}

fn message(what: &str, message: &Message) {
    for (name, value) in message.headers.iter() {
        anstream::println!("  {what} {}: {}", bytes(name).cyan(), bytes(value));
    }
    if !message.chunks.is_empty() {
        anstream::println!("  {what} body: {}", bytes(&message.body()));
    }
    for (name, value) in message.trailers.iter() {
        anstream::println!("  {what} trailer {}: {}", bytes(name).cyan(), bytes(value));
    }
}

/// Prints the plugin's changes to a message.
fn changes(what: &str, before: &Message, after: &Message) {
    for (mark, from, to) in [('-', &before.headers, &after.headers), ('+', &after.headers, &before.headers)] {
        for (name, value) in from.iter() {
            if !to.iter().any(|line| line == (name, value)) {
                let line = format!("{mark} {}: {}", bytes(name), bytes(value));
                let line = if mark == '+' { line.green().to_string() } else { line.red().to_string() };
                anstream::println!("  {what} {line}");
            }
        }
    }
    if before.body() != after.body() {
        anstream::println!("  {what} body: {}", bytes(&after.body()));
    }
}

/// Formats a trace event as one line.
pub fn event(event: &Event) -> String {
    match event {
        Event::CallbackEnter { name, arguments } => format!("{} {}({})", "->".green(), name.bold(), list(arguments)),
        Event::CallbackLeave { name, exported: false, .. } => format!("{} {name} is not exported", "<-".green()),
        Event::CallbackLeave { failure: Some(failure), name, .. } => format!("{} {name} failed: {failure}", "<-".red()),
        Event::CallbackLeave { name, returned: Some(value), .. } => format!("{} {name} = {value}", "<-".green()),
        Event::CallbackLeave { name, .. } => format!("{} {name}", "<-".green()),
        Event::Hostcall { name, arguments, status, results } => {
            let mut line = format!("     {}({}) = ", name.cyan(), list(arguments));
            match status {
                Status::Ok => line.push_str("Ok"),
                other => {
                    let _ = write!(line, "{}", other.name().yellow());
                }
            }
            if !results.is_empty() {
                let _ = write!(line, ", {}", list(results));
            }
            line
        }
        other => format!("{other:?}"),
    }
}
