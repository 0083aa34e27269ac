//! The first thing in which what was seen on both sides differs, but for what rules pass over.

use dynvm::abi::table::{Type, hostcall};
use dynvm::call_trace::{Event, Named, Value};
use dynvm::header_pairs;
use dynvm::host::MetricValue;

use super::{StepTrace, line, logged, output, result};
use crate::rules::{Applied, Rule, Rules};

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// In what.
    pub aspect: String,
    /// What both sides have: native, wasm.
    pub values: [String; 2],
}

/// The first difference of a step.
pub fn first_difference(native: &StepTrace, wasm: &StepTrace, rules: &Rules, applied: &mut Applied) -> Option<Found> {
    let of_calls = if native.events == wasm.events { None } else { of_events(native, wasm, rules, applied, |_| ()) };
    of_calls
        .or_else(|| {
            if native.result == wasm.result {
                return None;
            }
            of_lines(&result::lines(&native.result), &result::lines(&wasm.result))
        })
        .or_else(|| output::of_output(&native.written, &wasm.written, rules, applied))
        .or_else(|| of_metrics(native.metrics.as_deref(), wasm.metrics.as_deref(), rules, applied))
        .or_else(|| of_failures(native, wasm, rules, applied))
}

/// What a rule passed over: events at these places are the same, or the native one stands alone.
pub(crate) enum Step {
    Pair(usize, usize),
    NativeOnly(usize),
}

/// Goes along both traces to the first difference.
pub(crate) fn of_events(
    native: &StepTrace,
    wasm: &StepTrace,
    rules: &Rules,
    applied: &mut Applied,
    mut visit: impl FnMut(Step),
) -> Option<Found> {
    let (mut at, mut beside) = (0, 0);
    while let (Some(a), Some(b)) = (native.events.get(at), wasm.events.get(beside)) {
        if let Some(found) = of_event(a, b, rules, applied) {
            let leave = end_of_unwinding(native, wasm, at, beside).filter(|_| rules.has(Rule::PanicUnwinding));
            let Some(leave) = leave else { return Some(found) };
            applied.count(Rule::PanicUnwinding);
            (at..leave).for_each(|index| visit(Step::NativeOnly(index)));
            at = leave;
        } else {
            visit(Step::Pair(at, beside));
            (at, beside) = (at + 1, beside + 1);
        }
    }
    let rest = [native.events.get(at), wasm.events.get(beside)];
    if rest.iter().all(Option::is_none) {
        return None;
    }
    let text = |event: Option<&Event>| event.map_or_else(|| "nothing more".to_owned(), line::event);
    Some(Found { aspect: "what is called".to_owned(), values: rest.map(text) })
}

/// Where wasm ends a callback with a panic and the native build first unwinds: the end of the native callback.
fn end_of_unwinding(native: &StepTrace, wasm: &StepTrace, at: usize, beside: usize) -> Option<usize> {
    let failed = |event: &Event| match event {
        Event::CallbackLeave { name, failure: Some(_), .. } => Some(*name),
        _ => None,
    };
    let name = failed(wasm.events.get(beside)?)?;
    let leave = at + native.events[at..].iter().position(|event| matches!(event, Event::CallbackLeave { .. }))?;
    let said = |message: Option<&[u8]>| message.is_some_and(|message| is_panic(&String::from_utf8_lossy(message)));
    let logged = beside > 0 && said(logged(&wasm.events[beside - 1]));
    let panicked = logged || wasm.written.iter().any(|(_, text)| is_panic(text));
    (panicked && failed(&native.events[leave]) == Some(name)).then_some(leave)
}

/// Whether two events are the same or pass by a rule; if not, in what they differ.
pub(crate) fn of_event(native: &Event, wasm: &Event, rules: &Rules, applied: &mut Applied) -> Option<Found> {
    if native == wasm {
        return None;
    }
    match (native, wasm) {
        (
            Event::CallbackLeave { name, failure: Some(a), .. },
            Event::CallbackLeave { name: other, failure: Some(b), .. },
        ) if name == other => {
            if !rules.has(Rule::FailureText) {
                return Some(Found { aspect: format!("failure of {name}"), values: [a.clone(), b.clone()] });
            }
            applied.count(Rule::FailureText);
            None
        }
        (
            Event::Hostcall { name, arguments: a, status: s, results: r },
            Event::Hostcall { name: other, arguments: b, status: t, results: q },
        ) if name == other && a.len() == b.len() => {
            if s == t && is_allowed_log(native, wasm, rules, applied) {
                return None;
            }
            of_values(name, a, b, rules, applied).or_else(|| {
                if s != t {
                    let values = [s, t].map(|status| line::status_name(*status).to_owned());
                    return Some(Found { aspect: format!("{name}, status"), values });
                }
                of_values(name, r, q, rules, applied)
            })
        }
        _ => Some(Found { aspect: "what is called".to_owned(), values: [line::event(native), line::event(wasm)] }),
    }
}

/// Whether two messages to the log differ only as declared.
fn is_allowed_log(native: &Event, wasm: &Event, rules: &Rules, applied: &mut Applied) -> bool {
    let (Some(a), Some(b)) = (logged(native), logged(wasm)) else { return false };
    if a == b || !same_level(native, wasm) {
        return false;
    }
    let rule = if is_panic(&String::from_utf8_lossy(a)) && is_panic(&String::from_utf8_lossy(b)) {
        Rule::PanicText
    } else {
        Rule::LogText
    };
    let allowed = rules.has(rule) || rules.has(Rule::LogText);
    if allowed {
        applied.count(if rules.has(rule) { rule } else { Rule::LogText });
    }
    allowed
}

fn same_level(native: &Event, wasm: &Event) -> bool {
    let level = |event: &Event| match event {
        Event::Hostcall { arguments, .. } => arguments.first().cloned(),
        _ => None,
    };
    level(native) == level(wasm)
}

/// Rust's panics say so, whoever prints them.
pub(crate) fn is_panic(text: &str) -> bool {
    text.contains("panicked at ")
}

fn of_values(call: &str, native: &[Named], wasm: &[Named], rules: &Rules, applied: &mut Applied) -> Option<Found> {
    if native.len() != wasm.len() {
        let text = |values: &[Named]| format!("{values:?}");
        return Some(Found { aspect: call.to_owned(), values: [text(native), text(wasm)] });
    }
    for ((name, a), (_, b)) in native.iter().zip(wasm) {
        if a == b {
            continue;
        }
        if rules.has(Rule::SizeWidth) && is_width_of_size(call, name, a, b) {
            applied.count(Rule::SizeWidth);
            continue;
        }
        if is_same_header_map(call, name, a, b) {
            continue;
        }
        if rules.has(Rule::MetricValues) && is_metric_value(call, name) {
            applied.count(Rule::MetricValues);
            continue;
        }
        let of = native.iter().find_map(|(key, value)| match value {
            Value::Bytes(bytes) if matches!(*key, "key" | "name") && key != name => Some(line::exact(bytes)),
            _ => None,
        });
        let of = of.map(|bytes| format!(" of \"{bytes}\"")).unwrap_or_default();
        return Some(Found { aspect: format!("{call}, {name}{of}"), values: [bare(name, a), bare(name, b)] });
    }
    None
}

/// A value without quotes.
fn bare(name: &'static str, value: &Value) -> String {
    match value {
        Value::Bytes(bytes) => line::exact(bytes),
        other => line::value(name, other),
    }
}

fn is_width_of_size(call: &str, name: &str, native: &Value, wasm: &Value) -> bool {
    let (Value::Number(native), Value::Number(wasm)) = (native, wasm) else { return false };
    let is_size = || {
        let param = hostcall(call).and_then(|row| row.params.iter().find(|param| param.name == name));
        param.is_some_and(|param| matches!(param.ty, Type::Size))
    };
    *native as u32 == *wasm as u32 && is_size()
}

/// Whether two encodings are of one header map. The Rust SDK up to 0.2.2 writes lengths as `usize`, so the bytes differ between the builds
/// while the host reads the same headers.
fn is_same_header_map(call: &str, name: &str, native: &Value, wasm: &Value) -> bool {
    let (Value::Bytes(native), Value::Bytes(wasm)) = (native, wasm) else { return false };
    is_header_map(call, name) && header_pairs::decode(native).is_some_and(|map| header_pairs::decode(wasm) == Some(map))
}

/// Whether an argument of a hostcall is an encoded header map.
fn is_header_map(call: &str, name: &str) -> bool {
    matches!(
        (call, name),
        ("proxy_set_header_map_pairs", "map")
            | ("proxy_send_local_response", "headers")
            | ("proxy_http_call", "headers" | "trailers")
            | ("proxy_grpc_call" | "proxy_grpc_stream", "initial_metadata")
    )
}

fn is_metric_value(call: &str, name: &str) -> bool {
    call.ends_with("_metric") && matches!(name, "value" | "offset")
}

pub(super) fn of_lines(native: &[result::Aspect], wasm: &[result::Aspect]) -> Option<Found> {
    let longest = native.len().max(wasm.len());
    (0..longest).find_map(|index| {
        let (a, b) = (native.get(index), wasm.get(index));
        if a == b {
            return None;
        }
        let aspect = a.or(b).map_or("", |(aspect, _)| aspect);
        let text = |line: Option<&result::Aspect>| match line {
            None => "nothing".to_owned(),
            Some((of, value)) if of == aspect => value.clone(),
            Some((of, value)) => format!("{of}: {value}"),
        };
        Some(Found { aspect: aspect.to_owned(), values: [text(a), text(b)] })
    })
}

type Metrics<'a> = Option<&'a [(String, MetricValue)]>;

fn of_metrics(native: Metrics<'_>, wasm: Metrics<'_>, rules: &Rules, applied: &mut Applied) -> Option<Found> {
    if native == wasm {
        return None;
    }
    let names =
        |metrics: Metrics<'_>| metrics.unwrap_or_default().iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    if rules.has(Rule::MetricValues) && names(native) == names(wasm) {
        applied.count(Rule::MetricValues);
        return None;
    }
    let lines = |metrics: Metrics<'_>| {
        let line = |(name, value): &(String, MetricValue)| (format!("metric {name}"), result::metric(value));
        metrics.unwrap_or_default().iter().map(line).collect::<Vec<_>>()
    };
    of_lines(&lines(native), &lines(wasm))
}

fn of_failures(native: &StepTrace, wasm: &StepTrace, rules: &Rules, applied: &mut Applied) -> Option<Found> {
    match (&native.failure, &wasm.failure) {
        (a, b) if a == b => None,
        (Some(_), Some(_)) if rules.has(Rule::FailureText) => {
            applied.count(Rule::FailureText);
            None
        }
        (a, b) => {
            let text = |failure: &Option<String>| failure.clone().unwrap_or_else(|| "no failure".to_owned());
            Some(Found { aspect: "failure of the VM".to_owned(), values: [text(a), text(b)] })
        }
    }
}
