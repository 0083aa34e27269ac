//! Counters of a rollout, across all threads.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use dynvm::BackendKind;
use dynvm::abi::table::{CALLBACKS, CallbackId};
use dynvm_compare::rules::{Applied, AppliedRule};

use super::recording::{Recording, Spoiled};
use super::{Arm, Aspect, Share};

/// A snapshot of a rollout's counters.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RolloutSnapshot {
    /// Number of the rollout within the process, from 1: the label `rollout` of its metrics.
    pub number: u64,
    /// Plugin name of the stable deployment.
    pub plugin: String,
    /// Share of streams served by the candidate.
    pub split: Share,
    /// Share of shadowed streams.
    pub shadow_share: Share,
    /// Streams by serving deployment, stable first.
    pub streams: [u64; 2],
    /// Streams assigned to the candidate but served by stable because the candidate failed to start on that thread.
    pub fallbacks: u64,
    /// Results of shadowed streams.
    pub shadow: ShadowStats,
    /// Divergences by callback and aspect, in the order of the ABI's table; zero counts are omitted.
    pub divergences: Vec<DivergenceCount>,
    /// The first divergences, with details.
    pub first: Vec<Divergence>,
    /// Rules that applied, with counts.
    pub rules: Vec<AppliedRule>,
}

/// Results of shadowed streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShadowStats {
    /// The shadow behaved the same.
    pub same: u64,
    /// The shadow diverged at least once, or failed.
    pub diverged: u64,
    /// Dropped because the queue was full.
    pub dropped: u64,
    /// Not compared because the recording exceeded the size limit.
    pub too_large: u64,
    /// Not compared because the stream made gRPC calls, or its own VM failed.
    pub not_comparable: u64,
    /// Not compared because the shadow's plugin did not start.
    pub not_started: u64,
    /// Failed shadow VMs.
    pub vm_failures: u64,
}

/// Number of divergences in one aspect of one callback.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DivergenceCount {
    /// The callback that diverged.
    pub callback: CallbackId,
    /// The aspect that diverged.
    pub aspect: Aspect,
    /// Number of divergences.
    pub count: u64,
}

/// A divergence with its details.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Divergence {
    /// Number of the stream among the recorded streams of the rollout.
    pub stream: u64,
    /// Index of the callback within the stream, from 0.
    pub step: usize,
    /// The callback that diverged.
    pub callback: CallbackId,
    /// The aspect that diverged.
    pub aspect: Aspect,
    /// What differs, e.g. `proxy_log, message` or `HttpRequestHeaders x-plugin`.
    pub what: String,
    /// The serving plugin: arm, backend, version.
    pub answering: (Arm, BackendKind, u64),
    /// The shadow: arm, backend, version.
    pub shadow: (Arm, BackendKind, u64),
    /// Behavior of the serving plugin.
    pub answered: String,
    /// Behavior of the shadow.
    pub shadowed: String,
}

static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

/// Live counters of a rollout.
#[derive(Debug)]
pub(super) struct Counters {
    plugin: String,
    /// Number of the rollout within the process; two rollouts may have the same plugin.
    number: u64,
    split: AtomicU32,
    shadow: AtomicU32,
    workers: Mutex<Workers>,
    recorded: AtomicU64,
    pub(super) fallbacks: AtomicU64,
    pub(super) dropped: AtomicU64,
    same: AtomicU64,
    diverged: AtomicU64,
    too_large: AtomicU64,
    not_comparable: AtomicU64,
    pub(super) not_started: AtomicU64,
    pub(super) vm_failures: AtomicU64,
    divergences: Vec<AtomicU64>,
    first: Mutex<Vec<Divergence>>,
    applied: Mutex<Applied>,
    kept: usize,
}

/// Streams of one worker, by serving deployment.
#[derive(Debug, Default)]
pub(super) struct StreamCounts([AtomicU64; 2]);

impl StreamCounts {
    #[inline]
    pub(super) fn count(&self, arm: Arm) {
        // Only one thread writes, so no atomic read-modify-write is needed.
        let counter = &self.0[arm as usize];
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    fn get(&self) -> [u64; 2] {
        [self.0[0].load(Ordering::Relaxed), self.0[1].load(Ordering::Relaxed)]
    }
}

#[derive(Debug, Default)]
struct Workers {
    running: Vec<Arc<StreamCounts>>,
    /// Sum over dropped workers.
    gone: [u64; 2],
}

impl Workers {
    fn total(&mut self) -> [u64; 2] {
        let gone = &mut self.gone;
        self.running.retain(|counts| {
            let is_gone = Arc::strong_count(counts) == 1;
            if is_gone {
                add(gone, counts.get());
            }
            !is_gone
        });
        let mut total = self.gone;
        self.running.iter().for_each(|counts| add(&mut total, counts.get()));
        total
    }
}

fn add(to: &mut [u64; 2], counts: [u64; 2]) {
    to[0] += counts[0];
    to[1] += counts[1];
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

impl Counters {
    pub(super) fn new(plugin: String, kept: usize) -> Counters {
        let mut divergences = Vec::new();
        divergences.resize_with(CALLBACKS.len() * Aspect::ALL.len(), AtomicU64::default);
        Counters {
            plugin,
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            split: AtomicU32::new(0),
            shadow: AtomicU32::new(0),
            workers: Mutex::default(),
            recorded: AtomicU64::new(0),
            fallbacks: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            same: AtomicU64::new(0),
            diverged: AtomicU64::new(0),
            too_large: AtomicU64::new(0),
            not_comparable: AtomicU64::new(0),
            not_started: AtomicU64::new(0),
            vm_failures: AtomicU64::new(0),
            divergences,
            first: Mutex::default(),
            applied: Mutex::default(),
            kept,
        }
    }

    pub(super) fn set_split(&self, share: Share) {
        self.split.store(share.millionths(), Ordering::Relaxed);
    }

    pub(super) fn set_shadow(&self, share: Share) {
        self.shadow.store(share.millionths(), Ordering::Relaxed);
    }

    /// Registers the counters of a worker; only its thread writes to them.
    pub(super) fn add_worker(&self) -> Arc<StreamCounts> {
        let counts = Arc::new(StreamCounts::default());
        lock(&self.workers).running.push(counts.clone());
        counts
    }

    /// Number of the next recorded stream.
    pub(super) fn next_recording(&self) -> u64 {
        self.recorded.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn count_spoiled(&self, spoiled: Spoiled) {
        let counter = match spoiled {
            Spoiled::TooLarge => &self.too_large,
            Spoiled::Grpc | Spoiled::Failed => &self.not_comparable,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_compared(&self, same: bool, applied: &Applied) {
        lock(&self.applied).add(applied);
        (if same { &self.same } else { &self.diverged }).fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_divergence(
        &self,
        recording: &Recording,
        step: usize,
        shadow: (Arm, BackendKind, u64),
        (aspect, found): super::compare::Difference,
    ) {
        let name = recording.steps[step].callback;
        let Some(index) = CALLBACKS.iter().position(|callback| callback.name == name) else { return };
        self.divergences[index * Aspect::ALL.len() + aspect as usize].fetch_add(1, Ordering::Relaxed);
        let mut first = lock(&self.first);
        if first.len() < self.kept {
            let [answered, shadowed] = found.values;
            first.push(Divergence {
                stream: recording.number,
                step,
                callback: CallbackId::ALL[index],
                aspect,
                what: found.aspect,
                answering: (recording.arm, recording.backend, recording.version),
                shadow,
                answered,
                shadowed,
            });
        }
    }

    pub(super) fn snapshot(&self) -> RolloutSnapshot {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = self.divergences.iter().enumerate().map(|(index, count)| DivergenceCount {
            callback: CallbackId::ALL[index / Aspect::ALL.len()],
            aspect: Aspect::ALL[index % Aspect::ALL.len()],
            count: get(count),
        });
        RolloutSnapshot {
            number: self.number,
            plugin: self.plugin.clone(),
            split: Share::from_millionths(self.split.load(Ordering::Relaxed)),
            shadow_share: Share::from_millionths(self.shadow.load(Ordering::Relaxed)),
            streams: lock(&self.workers).total(),
            fallbacks: get(&self.fallbacks),
            shadow: ShadowStats {
                same: get(&self.same),
                diverged: get(&self.diverged),
                dropped: get(&self.dropped),
                too_large: get(&self.too_large),
                not_comparable: get(&self.not_comparable),
                not_started: get(&self.not_started),
                vm_failures: get(&self.vm_failures),
            },
            divergences: counts.filter(|count| count.count > 0).collect(),
            first: lock(&self.first).clone(),
            rules: lock(&self.applied).list(),
        }
    }
}
