//! Compares the callbacks and hostcalls of both sides, in order.

use dynvm::abi::table::{Type, hostcall};
use dynvm::call_trace::{Event, Named, Value};
use dynvm::header_pairs;

use crate::found::Found;
use crate::output::is_panic;
use crate::rules::{Applied, Rule, Rules};
use crate::text;
use crate::trace::{StepTrace, logged};

/// The effect of a rule: both events match, or the native one stands alone.
pub(crate) enum Passed {
    Pair(usize, usize),
    NativeOnly(usize),
}

/// Walks along both traces to the first difference.
pub(crate) fn of_events<R>(
    native: &StepTrace<R>,
    wasm: &StepTrace<R>,
    rules: &Rules,
    applied: &mut Applied,
    mut visit: impl FnMut(Passed),
) -> Option<Found> {
    let (mut at, mut beside) = (0, 0);
    while let (Some(a), Some(b)) = (native.events.get(at), wasm.events.get(beside)) {
        if let Some(found) = of_event(a, b, rules, applied) {
            let leave = end_of_unwinding(native, wasm, at, beside).filter(|_| rules.has(Rule::PanicUnwinding));
            let Some(leave) = leave else { return Some(found) };
            applied.count(Rule::PanicUnwinding);
            (at..leave).for_each(|index| visit(Passed::NativeOnly(index)));
            at = leave;
        } else {
            visit(Passed::Pair(at, beside));
            (at, beside) = (at + 1, beside + 1);
        }
    }
    let rest = [native.events.get(at), wasm.events.get(beside)];
    if rest.iter().all(Option::is_none) {
        return None;
    }
    let text = |event: Option<&Event>| event.map_or_else(|| "nothing more".to_owned(), text::event);
    Some(Found { aspect: "call".to_owned(), values: rest.map(text) })
}

/// When wasm ends a callback with a panic and the native build first unwinds: the index of the end
/// of the native callback.
fn end_of_unwinding<R>(native: &StepTrace<R>, wasm: &StepTrace<R>, at: usize, beside: usize) -> Option<usize> {
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

/// Compares two events under the rules; returns their difference, if any.
fn of_event(native: &Event, wasm: &Event, rules: &Rules, applied: &mut Applied) -> Option<Found> {
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
            Event::CallbackLeave { name, failure: None, returned: a @ Some(_), exported: true },
            Event::CallbackLeave { name: other, failure: None, returned: b @ Some(_), exported: true },
        ) if name == other => {
            let text = |returned: &Option<u32>| returned.map_or_else(String::new, |value| value.to_string());
            Some(Found { aspect: format!("{name}, answer"), values: [text(a), text(b)] })
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
                    let values = [s, t].map(|status| status.name().to_owned());
                    return Some(Found { aspect: format!("{name}, status"), values });
                }
                of_values(name, r, q, rules, applied)
            })
        }
        _ => Some(Found { aspect: "call".to_owned(), values: [text::event(native), text::event(wasm)] }),
    }
}

/// Whether two log messages differ only as declared.
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
            Value::Bytes(bytes) if matches!(*key, "key" | "name") && key != name => Some(text::exact(bytes)),
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
        Value::Bytes(bytes) => text::exact(bytes),
        other => text::value(name, other),
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

/// Whether two encodings represent the same header map. The Rust SDK up to 0.2.2 writes lengths as
/// `usize`, so the bytes differ between the builds although the host reads the same headers.
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
