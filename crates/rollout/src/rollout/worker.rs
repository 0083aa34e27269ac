//! A thread that serves streams of a rollout.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dynvm::host::{HttpCallResponse, Services, Stream};
use dynvm::{CallError, CallId, ContextId, StartError, Vm};

use super::counters::StreamCounts;
use super::recording::Recording;
use super::share::{Points, point_of};
use super::{Arm, Rollout};
use crate::deploy::{StreamRef, Worker};

/// A stream of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RolloutStream {
    arm: Arm,
    stream: StreamRef,
    /// Number of its recording, if it is shadowed.
    recording: Option<u64>,
}

impl RolloutStream {
    /// The arm that serves it.
    pub fn arm(self) -> Arm {
        self.arm
    }

    /// The version of the deployment that serves it.
    pub fn version(self) -> u64 {
        self.stream.version()
    }

    /// Its context in the VM.
    pub fn context(self) -> ContextId {
        self.stream.context()
    }

    /// Whether it is shadowed.
    pub fn is_shadowed(self) -> bool {
        self.recording.is_some()
    }
}

type MakeServices = dyn FnMut(Arm, u64) -> Services;

/// Serves streams of a [`Rollout`] on one thread, and cannot move to another.
pub struct RolloutWorker {
    rollout: Rollout,
    services: Rc<RefCell<MakeServices>>,
    stable: Worker,
    /// Started with its first stream.
    candidate: Option<Worker>,
    /// When to retry a candidate that did not start.
    retry_at: Option<Instant>,
    recordings: HashMap<u64, Recording>,
    points: Points,
    counts: Arc<StreamCounts>,
}

/// Interval between attempts to start a failing candidate.
const RETRY: Duration = Duration::from_secs(1);

/// Salt of split decisions, which are independent of shadowing.
const SPLIT: u64 = 1;
const SHADOW: u64 = 2;

impl RolloutWorker {
    pub(super) fn start(
        rollout: Rollout,
        services: impl FnMut(Arm, u64) -> Services + 'static,
    ) -> Result<RolloutWorker, StartError> {
        let services: Rc<RefCell<MakeServices>> = Rc::new(RefCell::new(services));
        let stable = start_arm(&rollout, &services, Arm::Stable)?;
        let counts = rollout.shared.counters.add_worker();
        Ok(RolloutWorker {
            counts,
            rollout,
            services,
            stable,
            candidate: None,
            retry_at: None,
            recordings: HashMap::new(),
            points: Points::new(),
        })
    }

    /// Creates a stream. The arm is decided here, once: by the key, so that a client or a session
    /// always gets the same one, or at random without a key.
    ///
    /// # Errors
    ///
    /// As [`Vm::create_stream`].
    pub fn create_stream(&mut self, key: Option<&[u8]>, stream: Box<dyn Stream>) -> Result<RolloutStream, CallError> {
        let (split, shadow) = (self.rollout.split(), self.rollout.shadow());
        let points = &mut self.points;
        let mut point = |salt| key.map_or_else(|| points.next(), |key| point_of(key, salt));
        let wanted = if split.has(point(SPLIT)) { Arm::Candidate } else { Arm::Stable };
        let shadowed = shadow.has(point(SHADOW));
        let arm = self.ready(wanted);
        self.counts.count(arm);
        if !shadowed {
            let stream = self.arm(arm).create_stream(stream)?;
            return Ok(RolloutStream { arm, stream, recording: None });
        }
        self.create_recorded(arm, stream)
    }

    fn create_recorded(&mut self, arm: Arm, stream: Box<dyn Stream>) -> Result<RolloutStream, CallError> {
        let shared = self.rollout.shared.clone();
        let number = shared.counters.next_recording();
        let (max, version) = (shared.config.max_recording, self.arm(arm).version());
        let mut recording = None;
        let stream = self.arm(arm).create_stream_by(|vm, root| {
            let recording = recording.insert(Recording::new(arm, vm, version, number, max));
            recording.record(vm, None, None, |vm| vm.create_stream(root, stream))
        })?;
        if let Some(mut recording) = recording {
            recording.begun(stream);
            self.recordings.insert(number, recording);
        }
        Ok(RolloutStream { arm, stream, recording: Some(number) })
    }

    /// Runs a callback of a stream in the VM that serves it. Each call should run one callback. For
    /// a shadowed stream the callback is recorded, with the VM's tracer set meanwhile.
    ///
    /// Returns `None` if the stream ended when its VM failed and was replaced.
    pub fn call<R>(&mut self, stream: RolloutStream, act: impl FnOnce(&mut Vm, ContextId) -> R) -> Option<R> {
        self.call_with(stream, None, act)
    }

    fn call_with<R>(
        &mut self,
        stream: RolloutStream,
        answer: Option<(u32, HttpCallResponse)>,
        act: impl FnOnce(&mut Vm, ContextId) -> R,
    ) -> Option<R> {
        let context = stream.stream.context();
        let worker = match stream.arm {
            Arm::Stable => &mut self.stable,
            Arm::Candidate => self.candidate.as_mut()?,
        };
        let vm = worker.vm_of(stream.stream)?;
        match stream.recording.and_then(|number| self.recordings.get_mut(&number)) {
            None => Some(act(vm, context)),
            Some(recording) => Some(recording.record(vm, Some(context), answer, |vm| act(vm, context))),
        }
    }

    /// Delivers the answer to an HTTP call to the version that made it and, if a shadowed stream
    /// made it, to the recording.
    ///
    /// # Errors
    ///
    /// As for [`Vm::on_http_call_response`]; also if the version no longer runs here.
    pub fn on_http_call_response(
        &mut self,
        arm: Arm,
        version: u64,
        call: CallId,
        response: HttpCallResponse,
    ) -> Result<(), CallError> {
        let worker = match arm {
            Arm::Stable => Some(&mut self.stable),
            Arm::Candidate => self.candidate.as_mut(),
        };
        let vm = worker.and_then(|worker| worker.vm(version)).map(|(vm, _)| vm).filter(|vm| vm.id() == call.vm());
        let vm = vm.ok_or(CallError::UnknownCall(call))?;
        match self.recordings.values_mut().find_map(|recording| recording.take_call(call).then_some(recording)) {
            None => vm.on_http_call_response(call, response),
            Some(recording) => {
                let (context, answer) = (recording.context(), Some((call.token(), response.clone())));
                recording.record(vm, context, answer, |vm| vm.on_http_call_response(call, response))
            }
        }
    }

    /// Ends a stream like [`Worker::end`], and sends its recording to the shadow thread.
    pub fn end(&mut self, stream: RolloutStream) -> Option<Box<dyn Stream>> {
        if stream.recording.is_some() {
            let ended = self.call(stream, |vm, context| vm.delete_stream(context)).flatten();
            self.hand_over(stream);
            // Counts the version's streams, and drains an old version.
            self.arm(stream.arm).end(stream.stream);
            return ended;
        }
        self.arm(stream.arm).end(stream.stream)
    }

    fn hand_over(&mut self, stream: RolloutStream) {
        // A stream of another rollout may have the number of a recording here.
        let is_its = |recording: &Recording| recording.context() == Some(stream.context());
        let number = stream.recording.filter(|number| self.recordings.get(number).is_some_and(is_its));
        let Some(recording) = number.and_then(|number| self.recordings.remove(&number)) else { return };
        let shared = &self.rollout.shared;
        if let Some(spoiled) = recording.spoiled {
            shared.counters.count_spoiled(spoiled);
        } else if !shared.queue.send(Box::new(recording)) {
            shared.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The embedder's stream, if it has this type.
    pub fn stream<S: Stream>(&mut self, stream: RolloutStream) -> Option<std::cell::Ref<'_, S>> {
        let worker = match stream.arm {
            Arm::Stable => &mut self.stable,
            Arm::Candidate => self.candidate.as_mut()?,
        };
        let vm = worker.vm_of(stream.stream)?;
        (*vm).stream(stream.stream.context())
    }

    /// The VM of a version and its root context, for ticks, queue events and answers to gRPC calls;
    /// none of these are shadowed.
    pub fn vm(&mut self, arm: Arm, version: u64) -> Option<(&mut Vm, ContextId)> {
        match arm {
            Arm::Stable => self.stable.vm(version),
            Arm::Candidate => self.candidate.as_mut()?.vm(version),
        }
    }

    /// Follows reloads of both deployments, like [`Worker::poll`]. Returns the latest time for the next call.
    pub fn poll(&mut self) -> Option<Instant> {
        let candidate = self.candidate.as_mut().and_then(Worker::poll);
        self.stable.poll().into_iter().chain(candidate).min()
    }

    /// The arm for a stream: the wanted one, or stable if the candidate does not start.
    fn ready(&mut self, wanted: Arm) -> Arm {
        if wanted == Arm::Stable || self.candidate.is_some() {
            return wanted;
        }
        if self.retry_at.is_none_or(|at| Instant::now() >= at) {
            match start_arm(&self.rollout, &self.services, Arm::Candidate) {
                Ok(worker) => {
                    self.candidate = Some(worker);
                    return Arm::Candidate;
                }
                Err(error) => {
                    self.retry_at = Some(Instant::now() + RETRY);
                    self.rollout.deployment(Arm::Candidate).not_started(&error);
                }
            }
        }
        self.rollout.shared.counters.fallbacks.fetch_add(1, Ordering::Relaxed);
        Arm::Stable
    }

    /// The worker of an arm that has streams.
    fn arm(&mut self, arm: Arm) -> &mut Worker {
        match (arm, &mut self.candidate) {
            (Arm::Candidate, Some(candidate)) => candidate,
            _ => &mut self.stable,
        }
    }
}

fn start_arm(rollout: &Rollout, services: &Rc<RefCell<MakeServices>>, arm: Arm) -> Result<Worker, StartError> {
    let services = services.clone();
    rollout.deployment(arm).worker(move |version| services.borrow_mut()(arm, version))
}
