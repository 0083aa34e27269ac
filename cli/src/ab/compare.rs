//! Whether both builds do the same, by all that can be seen from outside.

use dynvm::host::{HeaderMap as _, Headers};
use dynvm::memory::{MadeCall, Message};
use serde::Serialize;

use super::{Side, step_name};
use crate::scenario::{Observation, Observed, Scenario, drive};
use crate::show;

/// What comparing gave.
pub struct Comparison {
    /// Steps that were compared, the start among them.
    pub steps: usize,
    /// The first difference.
    pub difference: Option<Difference>,
    /// How the VMs failed, if they did: native, wasm.
    pub failures: [Option<String>; 2],
}

/// What one build did and the other did not.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// Where.
    pub step: String,
    /// In what.
    pub aspect: String,
    /// What the native build did.
    pub native: String,
    /// What the wasm build did.
    pub wasm: String,
}

impl Comparison {
    /// Whether times mean anything: both builds serve all of the traffic.
    pub fn is_measurable(&self) -> bool {
        self.failures.iter().all(Option::is_none)
    }
}

pub fn compare(sides: &[Side; 2], scenario: &Scenario) -> anyhow::Result<Comparison> {
    let mut seen: [Vec<Observed>; 2] = Default::default();
    for (side, seen) in sides.iter().zip(&mut seen) {
        drive(&mut side.host(scenario)?, scenario, |_, observed| seen.push(observed))?;
    }
    let mut unanswered: Vec<String> = seen[0].iter().flat_map(|observed| observed.unanswered(scenario)).collect();
    unanswered.sort();
    unanswered.dedup();
    for upstream in unanswered {
        show::unanswered(&upstream);
    }
    let failure = |seen: &[Observed]| seen.iter().find_map(|observed| observed.failure.clone());
    let failures = [failure(&seen[0]), failure(&seen[1])];
    let [native, wasm] = &seen;
    let difference = native.iter().zip(wasm).enumerate().find_map(|(index, (native, wasm))| {
        let (aspect, native, wasm) = differ(native, wasm)?;
        Some(Difference { step: step_name(index, scenario), aspect, native, wasm })
    });
    Ok(Comparison { steps: native.len(), difference, failures })
}

type Differing = (String, String, String);

/// The first thing in which two observations of a step differ.
fn differ(native: &Observed, wasm: &Observed) -> Option<Differing> {
    let results = [&native.result, &wasm.result].map(lines_of_result);
    first_difference("", &results[0], &results[1])
        .or_else(|| {
            let lines = |seen: &Observed| {
                let line =
                    |step: &dynvm::memory::Step| ("callback".to_owned(), format!("{} {}", step.callback, step.answer));
                seen.callbacks.iter().map(line).collect::<Vec<_>>()
            };
            first_difference("", &lines(native), &lines(wasm))
        })
        .or_else(|| {
            let lines = |seen: &Observed| seen.calls.iter().flat_map(lines_of_call).collect::<Vec<_>>();
            first_difference("", &lines(native), &lines(wasm))
        })
        .or_else(|| {
            let lines = |seen: &Observed| {
                let log = seen.log.iter().filter(|(_, text)| !is_about_failure(text));
                log.map(|(level, text)| ("log".to_owned(), format!("[{}] {text}", level.name().to_lowercase())))
                    .collect::<Vec<_>>()
            };
            first_difference("", &lines(native), &lines(wasm))
        })
        .or_else(|| {
            let lines = |seen: &Observed| {
                seen.metrics
                    .iter()
                    .map(|(name, value)| (format!("metric {name}"), show::metric(value)))
                    .collect::<Vec<_>>()
            };
            first_difference("", &lines(native), &lines(wasm))
        })
        .or_else(|| match (&native.failure, &wasm.failure) {
            (None, None) | (Some(_), Some(_)) => None,
            (native, wasm) => {
                let text = |failure: &Option<String>| failure.clone().unwrap_or_else(|| "no failure".to_owned());
                Some(("failure of the VM".to_owned(), text(native), text(wasm)))
            }
        })
}

/// The loader's own words on how a VM failed name a backend's means, which differ.
fn is_about_failure(text: &str) -> bool {
    text.starts_with("the plugin failed in ")
}

type Line = (String, String);

fn first_difference(prefix: &str, native: &[Line], wasm: &[Line]) -> Option<Differing> {
    let nothing = ("nothing".to_owned(), "nothing".to_owned());
    let longest = native.len().max(wasm.len());
    (0..longest).find_map(|index| {
        let (a, b) = (native.get(index).unwrap_or(&nothing), wasm.get(index).unwrap_or(&nothing));
        let aspect = if a.0 == "nothing" { &b.0 } else { &a.0 };
        let text = |line: &Line| {
            if line.0 == *aspect || line.0 == "nothing" { line.1.clone() } else { format!("{}: {}", line.0, line.1) }
        };
        (a != b).then(|| (format!("{prefix}{aspect}"), text(a), text(b)))
    })
}

fn lines_of_result(result: &Observation) -> Vec<Line> {
    let mut lines = Vec::new();
    match result {
        Observation::Start | Observation::Tick => {}
        Observation::Http(exchange) => {
            lines.push(("outcome".to_owned(), format!("{:?}", exchange.outcome)));
            lines_of_message("response", &exchange.response.message, &mut lines);
            match &exchange.upstream_request {
                Some(request) => lines_of_message("request to upstream", request, &mut lines),
                None => lines.push(("request to upstream".to_owned(), "none".to_owned())),
            }
        }
        Observation::Tcp(exchange) => {
            lines.push(("bytes to upstream".to_owned(), show::bytes(&exchange.to_upstream)));
            lines.push(("bytes to downstream".to_owned(), show::bytes(&exchange.to_downstream)));
            let end = format!("closed {}, failed {}, paused {}", exchange.closed, exchange.failed, exchange.paused);
            lines.push(("end of the connection".to_owned(), end));
        }
    }
    lines
}

fn lines_of_message(what: &str, message: &Message, lines: &mut Vec<Line>) {
    lines_of_headers(&format!("{what} header"), &message.headers, lines);
    for (index, chunk) in message.chunks.iter().enumerate() {
        lines.push((format!("{what} body, chunk {}", index + 1), exact(chunk)));
    }
    lines_of_headers(&format!("{what} trailer"), &message.trailers, lines);
}

fn lines_of_headers(what: &str, headers: &Headers, lines: &mut Vec<Line>) {
    headers.for_each(&mut |name, value| lines.push((format!("{what} {}", show::bytes(name)), exact(value))));
}

fn lines_of_call(call: &MadeCall) -> Vec<Line> {
    vec![("call".to_owned(), format!("{call:?}"))]
}

/// Bytes as text, all of them, since they are compared.
fn exact(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
