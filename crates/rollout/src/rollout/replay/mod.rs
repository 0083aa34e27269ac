//! Replays recorded streams in a VM that is isolated from everything but the recording.
//!
//! | file | idea |
//! |---|---|
//! | `replayed` | recorded answers of hostcalls |
//! | `services` | services that return recorded answers, and isolate writes |
//! | `stream` | the shadow's stream |

mod replayed;
mod services;
mod stream;

use std::sync::Arc;
use std::time::{Duration, Instant};

use dynvm::CallbackBudget;
use dynvm::call_trace::Event;
use dynvm::{ContextId, Plugin, Vm};
use dynvm_compare::rules::{Applied, Rules};

use super::compare::{Comparer, Done};
use super::recording::{Collector, Recording, Step};
use super::snapshot::View;
use super::{Arm, Counters};
use crate::deploy::Deployment;
use replayed::Replayed;
use stream::ShadowStream;

/// Replays streams on one deployment.
pub(super) struct Replayer {
    arm: Arm,
    deployment: Deployment,
    limit: Duration,
    rules: Rules,
    running: Option<Running>,
    /// A version that did not start, with the time of the next attempt.
    broken: Option<(u64, Instant)>,
}

/// Interval between attempts to start a failing version.
const RETRY: Duration = Duration::from_secs(1);

struct Running {
    version: u64,
    plugin: Plugin,
    replayed: Arc<Replayed>,
}

impl Replayer {
    pub(super) fn new(arm: Arm, deployment: Deployment, limit: Duration, rules: Rules) -> Replayer {
        Replayer { arm, deployment, limit, rules, running: None, broken: None }
    }

    /// Replays a recorded stream on the shadow, and counts the divergences.
    pub(super) fn compare(&mut self, recording: &Recording, counters: &Counters) {
        let (arm, rules) = (self.arm, self.rules);
        let Some(running) = self.follow() else {
            counters.not_started.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            return;
        };
        let (vm, root) = running.plugin.vm_for_new_stream();
        if vm.has_failed() {
            counters.not_started.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            return;
        }
        let shadow = (arm, vm.module().backend(), running.version);
        let mut applied = Applied::default();
        let mut replay = Replay {
            comparer: Comparer::new(recording.backend, shadow.1, &rules, &mut applied),
            vm,
            root,
            context: None,
            replayed: &running.replayed,
            view: View::default(),
            answered: View::default(),
        };
        let mut same = true;
        for (index, step) in recording.steps.iter().enumerate() {
            for difference in replay.step(recording, step) {
                same = false;
                counters.count_divergence(recording, index, shadow, difference);
            }
            if replay.vm.has_failed() {
                counters.vm_failures.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                break;
            }
        }
        replay.end();
        counters.count_compared(same, &applied);
    }

    /// The current version of the deployment, started if it is new.
    fn follow(&mut self) -> Option<&mut Running> {
        let latest = self.deployment.version();
        if self.running.as_ref().is_some_and(|running| running.version == latest) {
            return self.running.as_mut();
        }
        if self.broken.is_some_and(|(version, until)| version == latest && Instant::now() < until) {
            return None;
        }
        self.running = None;
        let replayed = Arc::new(Replayed::default());
        let budget = CallbackBudget::fail(self.limit);
        let services = services::isolated(&replayed);
        let (version, started) = self.deployment.start_detached(services, |config| {
            config.callback_budget.get_or_insert(budget);
        });
        match started {
            Ok(plugin) => self.running = Some(Running { version, plugin, replayed }),
            Err(_) => self.broken = Some((version, Instant::now() + RETRY)),
        }
        self.running.as_mut()
    }
}

/// One stream during its replay.
struct Replay<'a> {
    comparer: Comparer<'a>,
    vm: &'a mut Vm,
    root: ContextId,
    context: Option<ContextId>,
    replayed: &'a Arc<Replayed>,
    /// Last known content of the shadow's stream.
    view: View,
    /// Content of the serving plugin's stream.
    answered: View,
}

impl Replay<'_> {
    /// Replays one callback and compares.
    fn step(&mut self, recording: &Recording, step: &Step) -> Vec<super::compare::Difference> {
        self.replayed.begin(recording, step);
        self.arrive(step);
        // Plugins log the ids of contexts and calls, so they should be equal.
        self.vm.reserve_ids(recording.context().map(ContextId::get), step.first_token());
        let collector = Collector::default();
        collector.attach(self.vm);
        self.call(step);
        let events = collector.detach(self.vm);
        let unanswered = self.replayed.end();
        let (hostcalls, returned) = done(events);
        let view = self.context.and_then(|context| self.vm.with_stream(context, View::of));
        let changed = view.map(|view| self.view.become_view(view)).unwrap_or_default();
        step.changed.iter().for_each(|change| self.answered.apply(change));
        let failure = self.vm.failure().map(|failure| failure.message);
        let done = Done {
            hostcalls: &hostcalls,
            returned,
            changed: &changed,
            view: &self.view,
            unanswered: &unanswered,
            failure: failure.as_deref(),
        };
        self.comparer.callback(step, &self.answered, &done)
    }

    /// Applies the host's recorded changes to the shadow's stream.
    fn arrive(&mut self, step: &Step) {
        let Some(context) = self.context else { return };
        for change in &step.arrived {
            self.answered.apply(change);
            if let Some(mut stream) = self.vm.stream_mut::<ShadowStream>(context) {
                stream.view.apply(change);
            }
            self.view.apply(change);
        }
    }

    /// Runs the callback, with the sizes of the shadow's own stream.
    fn call(&mut self, step: &Step) {
        if step.callback == "proxy_on_context_create" {
            let stream = Box::new(ShadowStream { view: View::default(), replayed: self.replayed.clone() });
            // Fails only without the root context; then every callback compares as missing.
            self.context = self.vm.create_stream(self.root, stream).ok();
            return;
        }
        let Some(context) = self.context else { return };
        let vm = &mut *self.vm;
        let end = step.flag("end_of_stream");
        let lines = |map: usize| self.view.maps[map].as_ref().map_or(0, dynvm::host::HeaderMap::len);
        let bytes = |buffer: usize| self.view.buffers[buffer].as_ref().map_or(0, Vec::len);
        match step.callback {
            "proxy_on_request_headers" => drop(vm.on_request_headers(context, lines(0), end)),
            "proxy_on_request_body" => drop(vm.on_request_body(context, bytes(0), end)),
            "proxy_on_request_trailers" => drop(vm.on_request_trailers(context, lines(1))),
            "proxy_on_response_headers" => drop(vm.on_response_headers(context, lines(2), end)),
            "proxy_on_response_body" => drop(vm.on_response_body(context, bytes(1), end)),
            "proxy_on_response_trailers" => drop(vm.on_response_trailers(context, lines(3))),
            "proxy_on_request_metadata" => vm.on_request_metadata(context, step.number("num_elements")),
            "proxy_on_response_metadata" => vm.on_response_metadata(context, step.number("num_elements")),
            "proxy_on_new_connection" => drop(vm.on_new_connection(context)),
            "proxy_on_downstream_data" => drop(vm.on_downstream_data(context, bytes(2), end)),
            "proxy_on_upstream_data" => drop(vm.on_upstream_data(context, bytes(3), end)),
            "proxy_on_downstream_connection_close" => vm.on_downstream_connection_close(context, step.peer()),
            "proxy_on_upstream_connection_close" => vm.on_upstream_connection_close(context, step.peer()),
            "proxy_on_http_call_response" => self.answer(step),
            "proxy_on_done" => drop(vm.on_done(context)),
            "proxy_on_log" => vm.on_log(context),
            "proxy_on_delete" => {
                vm.delete_stream(context);
                self.context = None;
            }
            // Only callbacks of streams are recorded.
            _ => {}
        }
    }

    fn answer(&mut self, step: &Step) {
        if let Some((token, response)) = &step.answer
            && let Some(own) = self.replayed.own_call(*token)
        {
            // A failure of the shadow is checked afterwards.
            let _ = self.vm.on_http_call_response(own, response.clone());
        }
    }

    /// Ends a stream whose recording is incomplete.
    fn end(self) {
        if let Some(context) = self.context {
            self.vm.delete_stream(context);
        }
        self.replayed.forget();
    }
}

/// The hostcalls of a callback and its return value.
fn done(events: Vec<Event>) -> (Vec<Event>, Option<u32>) {
    let mut hostcalls = Vec::new();
    let mut value = None;
    for event in events {
        match event {
            Event::CallbackLeave { returned, .. } => value = returned,
            Event::Hostcall { .. } => hostcalls.push(event),
            _ => {}
        }
    }
    (hostcalls, value)
}
