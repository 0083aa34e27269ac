//! What two plugins did in one callback, side by side.

use super::recording::Step;
use super::snapshot::{BUFFERS, Change, MAPS, View};
use dynvm::call_trace::{Event, Named, escaped, list};
use dynvm::host::Headers;

/// In what two plugins may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Aspect {
    /// What the callback returned: go on, stop.
    Action,
    /// Headers or trailers, as the callback left them.
    Headers,
    /// Bodies or a connection's bytes, as the callback left them.
    Body,
    /// The plugin's own answer.
    LocalReply,
    /// Asking to continue or to close the stream.
    Control,
    /// HTTP calls.
    Calls,
    /// Messages to the log.
    Log,
    /// What it would have written elsewhere: shared data, queues, metrics, properties, foreign functions, the tick period.
    State,
    /// The shadow asked for something that the plugin that answers did not ask for, so that there was no answer to give it.
    Reads,
    /// The shadow's VM failed.
    Failure,
}

impl Aspect {
    /// All of them.
    pub const ALL: [Aspect; 10] = [
        Aspect::Action,
        Aspect::Headers,
        Aspect::Body,
        Aspect::LocalReply,
        Aspect::Control,
        Aspect::Calls,
        Aspect::Log,
        Aspect::State,
        Aspect::Reads,
        Aspect::Failure,
    ];

    /// Its name in metrics: `action`, `headers`, `body`, `local_reply`, `control`, `calls`, `log`, `state`, `reads` or `failure`.
    pub const fn name(self) -> &'static str {
        match self {
            Aspect::Action => "action",
            Aspect::Headers => "headers",
            Aspect::Body => "body",
            Aspect::LocalReply => "local_reply",
            Aspect::Control => "control",
            Aspect::Calls => "calls",
            Aspect::Log => "log",
            Aspect::State => "state",
            Aspect::Reads => "reads",
            Aspect::Failure => "failure",
        }
    }

    /// The aspect to which a hostcall's effect belongs; `None`: it has none, or it is seen by what it changed.
    fn of(hostcall: &str) -> Option<Aspect> {
        Some(match hostcall {
            "proxy_send_local_response" => Aspect::LocalReply,
            "proxy_continue_stream"
            | "proxy_close_stream"
            | "proxy_continue_request"
            | "proxy_continue_response"
            | "proxy_clear_route_cache"
            | "proxy_done" => Aspect::Control,
            "proxy_http_call" | "proxy_grpc_call" | "proxy_grpc_stream" => Aspect::Calls,
            "proxy_log" => Aspect::Log,
            "proxy_set_shared_data"
            | "proxy_enqueue_shared_queue"
            | "proxy_increment_metric"
            | "proxy_record_metric"
            | "proxy_set_property"
            | "proxy_call_foreign_function"
            | "proxy_set_tick_period_milliseconds" => Aspect::State,
            _ => return None,
        })
    }
}

/// Arguments that are the host's numbers for things, which two hosts number differently.
const NUMBERS: [&str; 4] = ["metric_id", "queue_id", "cas", "token"];

/// A difference: the aspect, what the plugin that answers did, what the shadow did.
pub(super) type Difference = (Aspect, String, String);

/// What the shadow did in a callback.
pub(super) struct Done<'a> {
    pub(super) hostcalls: &'a [Event],
    pub(super) returned: Option<u32>,
    pub(super) changed: &'a [Change],
    /// The shadow's stream afterwards.
    pub(super) view: &'a View,
    /// What it asked for in vain.
    pub(super) unanswered: &'a [String],
    pub(super) failure: Option<&'a str>,
}

/// Compares a callback. `answered`: the stream of the plugin that answers, afterwards.
pub(super) fn compare(step: &Step, answered: &View, done: &Done<'_>) -> Vec<Difference> {
    if let Some(failure) = done.failure {
        return vec![(Aspect::Failure, "it did not fail".to_owned(), failure.to_owned())];
    }
    let mut differences = Vec::new();
    if step.returned != done.returned {
        let text = |returned: Option<u32>| returned.map_or_else(|| "nothing".to_owned(), |value| value.to_string());
        differences.push((Aspect::Action, text(step.returned), text(done.returned)));
    }
    contents(step, answered, done, &mut differences);
    for aspect in [Aspect::LocalReply, Aspect::Control, Aspect::Calls, Aspect::Log, Aspect::State] {
        let (one, other) = (effects(&step.hostcalls, aspect), effects(done.hostcalls, aspect));
        if one != other {
            differences.push((aspect, text_of(&one), text_of(&other)));
        }
    }
    if !done.unanswered.is_empty() {
        differences.push((Aspect::Reads, "it did not ask".to_owned(), done.unanswered.join(", ")));
    }
    differences
}

/// Maps and buffers that either changed in this callback: those that it left alone may differ since an earlier one.
fn contents(step: &Step, answered: &View, done: &Done<'_>, differences: &mut Vec<Difference>) {
    let changed = || step.changed.iter().chain(done.changed);
    for (index, map) in MAPS.iter().enumerate() {
        let touched = changed().any(|change| matches!(change, Change::Map(at, _) if *at == index));
        let (one, other) = (&answered.maps[index], &done.view.maps[index]);
        if touched && one != other {
            let (one, other) = lines_apart(one.as_ref(), other.as_ref());
            differences.push((Aspect::Headers, format!("{}: {one}", map.name()), format!("{}: {other}", map.name())));
        }
    }
    for (index, buffer) in BUFFERS.iter().enumerate() {
        let touched = changed().any(|change| matches!(change, Change::Buffer(at, _) if *at == index));
        let (one, other) = (&answered.buffers[index], &done.view.buffers[index]);
        if touched && one != other {
            let text = |bytes: &Option<Vec<u8>>| {
                let bytes = bytes.as_deref().unwrap_or_default();
                format!("{}, {} bytes: \"{}\"", buffer.name(), bytes.len(), escaped(bytes))
            };
            differences.push((Aspect::Body, text(one), text(other)));
        }
    }
}

/// The lines of each map that are not in the other; if there are none, their order differs, and all are shown.
fn lines_apart(one: Option<&Headers>, other: Option<&Headers>) -> (String, String) {
    let empty = Headers::new();
    let (one, other) = (one.unwrap_or(&empty), other.unwrap_or(&empty));
    let only = |of: &Headers, not: Option<&Headers>| {
        let lines = of.iter().filter(|line| not.is_none_or(|not| !not.iter().any(|known| known == *line)));
        lines.map(|(name, value)| format!("{}: {}", escaped(name), escaped(value))).collect::<Vec<_>>().join(", ")
    };
    let apart = (only(one, Some(other)), only(other, Some(one)));
    if apart.0.is_empty() && apart.1.is_empty() { (only(one, None), only(other, None)) } else { apart }
}

type Effect<'a> = (&'static str, Vec<&'a Named>);

fn effects(hostcalls: &[Event], aspect: Aspect) -> Vec<Effect<'_>> {
    let effects = hostcalls.iter().filter_map(|event| match event {
        Event::Hostcall { name, arguments, .. } if Aspect::of(name) == Some(aspect) => {
            Some((*name, arguments.iter().filter(|(name, _)| !NUMBERS.contains(name)).collect()))
        }
        _ => None,
    });
    effects.collect()
}

fn text_of(effects: &[Effect<'_>]) -> String {
    let texts = effects.iter().map(|(name, arguments)| {
        let arguments: Vec<Named> = arguments.iter().map(|argument| (*argument).clone()).collect();
        format!("{name}({})", list(&arguments))
    });
    let text = texts.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "nothing".to_owned() } else { text }
}
