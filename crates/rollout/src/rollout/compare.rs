//! Compares two plugins' behavior in one callback.

use dynvm::BackendKind;
use dynvm::abi::types::Status;
use dynvm::call_trace::Event;
use dynvm::host::Headers;
use dynvm_compare::Found;
use dynvm_compare::difference::first_difference;
use dynvm_compare::rules::{Applied, Rules};
use dynvm_compare::text::{common_prefix, exact, excerpt};
use dynvm_compare::trace::StepTrace;

use super::recording::Step;
use super::snapshot::{BUFFERS, Change, MAPS, View};

/// The aspects in which two plugins may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Aspect {
    /// The returned action: continue or stop.
    Action,
    /// Headers or trailers after the callback.
    Headers,
    /// Bodies or connection data after the callback.
    Body,
    /// The local response.
    LocalReply,
    /// Requests to continue or close the stream.
    Control,
    /// HTTP calls.
    Calls,
    /// Log messages.
    Log,
    /// Writes outside the stream: shared data, queues, metrics, properties, foreign functions, the tick period.
    State,
    /// The shadow made a read that the serving plugin did not make, so no answer was recorded.
    Reads,
    /// The shadow's VM failed.
    Failure,
}

impl Aspect {
    /// All aspects.
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

    /// Name in metrics: `action`, `headers`, `body`, `local_reply`, `control`, `calls`, `log`,
    /// `state`, `reads` or `failure`.
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

    /// The aspect of a hostcall's effect; `None` if it has no effect, or one that is visible in what it changed.
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

/// Arguments that are ids assigned by the host, which differ between hosts.
const NUMBERS: [&str; 4] = ["metric_id", "queue_id", "cas", "token"];

/// Aspects whose hostcalls are compared, in order within each aspect.
const EFFECTS: [Aspect; 5] = [Aspect::LocalReply, Aspect::Control, Aspect::Calls, Aspect::Log, Aspect::State];

/// A difference: the aspect, and the behavior of the serving plugin and of the shadow.
pub(super) type Difference = (Aspect, Found);

/// The shadow's behavior in a callback.
pub(super) struct Done<'a> {
    pub(super) hostcalls: &'a [Event],
    pub(super) returned: Option<u32>,
    pub(super) changed: &'a [Change],
    /// The shadow's stream after the callback.
    pub(super) view: &'a View,
    /// Reads without a recorded answer.
    pub(super) unanswered: &'a [String],
    pub(super) failure: Option<&'a str>,
}

/// Compares callbacks of one stream by the rules of `dynvm ab`.
pub(super) struct Comparer<'a> {
    rules: &'a Rules,
    applied: &'a mut Applied,
    /// Whether the shadow is the native side, which rules take first.
    is_shadow_first: bool,
}

type Trace = StepTrace<Vec<(String, String)>>;

impl<'a> Comparer<'a> {
    pub(super) fn new(
        answers: BackendKind,
        shadow: BackendKind,
        rules: &'a Rules,
        applied: &'a mut Applied,
    ) -> Comparer<'a> {
        let is_shadow_first = answers == BackendKind::Wasm && shadow == BackendKind::Native;
        Comparer { rules, applied, is_shadow_first }
    }

    /// Compares a callback. `answered` is the serving plugin's stream after the callback.
    pub(super) fn callback(&mut self, step: &Step, answered: &View, done: &Done<'_>) -> Vec<Difference> {
        let found = |aspect: &str, one: &str, other: String| Found {
            aspect: aspect.to_owned(),
            values: [one.to_owned(), other],
        };
        if let Some(failure) = done.failure {
            return vec![(Aspect::Failure, found("failure of the VM", "no failure", failure.to_owned()))];
        }
        let leave = |returned| Event::CallbackLeave { name: step.callback, returned, exported: true, failure: None };
        let mut differences = Vec::new();
        let mut compare = |aspect: Aspect, one: Trace, other: Trace| {
            differences.extend(self.first_difference(one, other).map(|found| (aspect, found)));
        };
        compare(Aspect::Action, of_events(vec![leave(step.returned)]), of_events(vec![leave(done.returned)]));
        compare(Aspect::Headers, headers(answered, step, done), headers(done.view, step, done));
        compare(Aspect::Body, bodies(answered, step, done), bodies(done.view, step, done));
        for aspect in EFFECTS {
            compare(aspect, effects(&step.hostcalls, aspect), effects(done.hostcalls, aspect));
        }
        if !done.unanswered.is_empty() {
            let asked = done.unanswered.join(", ");
            differences.push((Aspect::Reads, found("read", "nothing", asked)));
        }
        differences
    }

    fn first_difference(&mut self, one: Trace, other: Trace) -> Option<Found> {
        let (first, second) = if self.is_shadow_first { (&other, &one) } else { (&one, &other) };
        let mut found = first_difference(first, second, self.rules, self.applied)?;
        if self.is_shadow_first {
            found.values.reverse();
        }
        // Divergences are retained, and a body may be as large as a recording.
        let at = common_prefix(&found.values[0], &found.values[1]);
        found.values = found.values.map(|text| excerpt(&text, at));
        Some(found)
    }
}

fn of_events(events: Vec<Event>) -> Trace {
    Trace { events, ..Trace::default() }
}

/// The hostcalls of an aspect, without ids assigned by the host.
fn effects(hostcalls: &[Event], aspect: Aspect) -> Trace {
    let of_aspect = |event: &&Event| matches!(event, Event::Hostcall { name, .. } if Aspect::of(name) == Some(aspect));
    let mut events: Vec<Event> = hostcalls.iter().filter(of_aspect).cloned().collect();
    for event in &mut events {
        if let Event::Hostcall { arguments, status, results, .. } = event {
            arguments.retain(|(name, _)| !NUMBERS.contains(name));
            // The status a shadow receives comes from the recording, not from the plugin.
            *status = Status::Ok;
            results.clear();
        }
    }
    of_events(events)
}

/// Header maps that either side changed in this callback; others may differ since an earlier one.
fn headers(view: &View, step: &Step, done: &Done<'_>) -> Trace {
    let changed = || step.changed.iter().chain(done.changed);
    let mut lines = Vec::new();
    for (index, map) in MAPS.iter().enumerate() {
        if changed().any(|change| matches!(change, Change::Map(at, _) if *at == index)) {
            for (name, value) in view.maps[index].iter().flat_map(Headers::iter) {
                lines.push((format!("{} {}", map.name(), exact(name)), exact(value)));
            }
        }
    }
    Trace { result: lines, ..Trace::default() }
}

/// The same for bodies.
fn bodies(view: &View, step: &Step, done: &Done<'_>) -> Trace {
    let changed = || step.changed.iter().chain(done.changed);
    let mut lines = Vec::new();
    for (index, buffer) in BUFFERS.iter().enumerate() {
        if changed().any(|change| matches!(change, Change::Buffer(at, _) if *at == index)) {
            lines.push((buffer.name().to_owned(), exact(view.buffers[index].as_deref().unwrap_or_default())));
        }
    }
    Trace { result: lines, ..Trace::default() }
}
