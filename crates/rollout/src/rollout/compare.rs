//! What two plugins did in one callback, side by side.

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

/// Aspects whose hostcalls are compared, in order within each.
const EFFECTS: [Aspect; 5] = [Aspect::LocalReply, Aspect::Control, Aspect::Calls, Aspect::Log, Aspect::State];

/// A difference: the aspect, and what the plugin that answers and the shadow did, in this order.
pub(super) type Difference = (Aspect, Found);

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

/// Compares callbacks of one stream as `dynvm ab` compares those of two builds.
pub(super) struct Comparer<'a> {
    rules: &'a Rules,
    applied: &'a mut Applied,
    /// Rules take the native side first.
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

    /// Compares a callback. `answered`: the stream of the plugin that answers, afterwards.
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
            differences.push((Aspect::Reads, found("what is asked for", "nothing", asked)));
        }
        differences
    }

    fn first_difference(&mut self, one: Trace, other: Trace) -> Option<Found> {
        let (first, second) = if self.is_shadow_first { (&other, &one) } else { (&one, &other) };
        let mut found = first_difference(first, second, self.rules, self.applied)?;
        if self.is_shadow_first {
            found.values.reverse();
        }
        // Divergences are kept: a body may be as large as a recording.
        let at = common_prefix(&found.values[0], &found.values[1]);
        found.values = found.values.map(|text| excerpt(&text, at));
        Some(found)
    }
}

fn of_events(events: Vec<Event>) -> Trace {
    Trace { events, ..Trace::default() }
}

/// The hostcalls of an aspect, without the host's numbers.
fn effects(hostcalls: &[Event], aspect: Aspect) -> Trace {
    let of_aspect = |event: &&Event| matches!(event, Event::Hostcall { name, .. } if Aspect::of(name) == Some(aspect));
    let mut events: Vec<Event> = hostcalls.iter().filter(of_aspect).cloned().collect();
    for event in &mut events {
        if let Event::Hostcall { arguments, status, results, .. } = event {
            arguments.retain(|(name, _)| !NUMBERS.contains(name));
            // What a shadow is answered comes from the recording: it is no act of the plugin.
            *status = Status::Ok;
            results.clear();
        }
    }
    of_events(events)
}

/// Header maps that either side changed in this callback: those that both left alone may differ since an earlier one.
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

/// Bodies, in the same way.
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
