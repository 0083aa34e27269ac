//! A thread that serves streams of a deployment.

use std::time::{Duration, Instant};

use dynvm::abi::types::LogLevel;
use dynvm::host::{Services, Stream};
use dynvm::{CallError, StartError};
use dynvm::{ContextId, PluginStats, Vm};

use super::Deployment;
use super::serving::{Drained, Serving};

/// A stream and the VM it runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamRef {
    pub(super) version: u64,
    pub(super) context: ContextId,
}

impl StreamRef {
    /// The version that serves the stream from its first to its last callback.
    pub fn version(self) -> u64 {
        self.version
    }

    /// The stream context. It also identifies the VM, because failed VMs are replaced.
    pub fn context(self) -> ContextId {
        self.context
    }
}

/// Counters of version changes on one thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStats {
    /// Versions started after the first.
    pub switches: u64,
    /// Failed attempts to start a version.
    pub start_failures: u64,
    /// Drained old versions.
    pub drained: u64,
    /// Drained versions that had not called `proxy_done` in time.
    pub drain_timeouts: u64,
}

/// Serves streams of a [`Deployment`] on one thread. Like a VM, it cannot move to another thread.
///
/// New streams go to the current version; running streams finish on the version they began on. When
/// the last stream of an old version ends, the version is drained: `proxy_on_done`, a wait for
/// `proxy_done` if the plugin asks for it, `proxy_on_delete`; then its VM is dropped, which unmaps
/// native code.
///
/// Dropping a worker drops its VMs without further callbacks.
pub struct Worker {
    deployment: Deployment,
    services: Box<dyn FnMut(u64) -> Services>,
    current: Serving,
    /// Versions that still have streams or time to finish, oldest first.
    old: Vec<Serving>,
    retry: Option<Retry>,
    stats: WorkerStats,
}

/// When to retry a version that did not start.
struct Retry {
    version: u64,
    at: Instant,
    wait: Duration,
}

impl Worker {
    pub(super) fn start(
        deployment: Deployment,
        mut services: Box<dyn FnMut(u64) -> Services>,
    ) -> Result<Worker, StartError> {
        let version = deployment.current();
        let services_of_version = services(version.number);
        let current = Serving::start(version, deployment.config(), services_of_version)?;
        Ok(Worker { deployment, services, current, old: Vec::new(), retry: None, stats: WorkerStats::default() })
    }

    /// Creates a stream on the current version, starting the version first if it is new to this thread.
    ///
    /// If the version does not start here, the previous one serves the stream, and the start is
    /// retried later ([`DeploymentConfig::start_backoff`](super::DeploymentConfig::start_backoff)).
    ///
    /// # Errors
    ///
    /// As [`Vm::create_stream`].
    #[inline]
    pub fn create_stream(&mut self, stream: Box<dyn Stream>) -> Result<StreamRef, CallError> {
        self.create_stream_by(|vm, root| vm.create_stream(root, stream))
    }

    /// The same, with `create` making the context.
    #[inline]
    pub(crate) fn create_stream_by(
        &mut self,
        create: impl FnOnce(&mut Vm, ContextId) -> Result<ContextId, CallError>,
    ) -> Result<StreamRef, CallError> {
        self.follow();
        self.current.create_stream(create)
    }

    /// The VM of a stream, for its callbacks. `None` if the stream ended when its VM failed and was
    /// replaced, or belongs to another worker.
    #[inline]
    pub fn vm_of(&mut self, stream: StreamRef) -> Option<&mut Vm> {
        self.serving(stream.version)?.vm_of(stream)
    }

    /// Ends a stream like [`Vm::delete_stream`]. Ending the last stream of an old version drains that version.
    pub fn end(&mut self, stream: StreamRef) -> Option<Box<dyn Stream>> {
        let ended = self.serving(stream.version)?.end(stream);
        if stream.version != self.current.number() {
            self.drain();
        }
        ended
    }

    /// Starts the current version if it is new, and drops old ones that are done or out of time.
    /// Call it after delivering an event outside streams (a tick, an answer to a call), at the time
    /// it returned, and occasionally while there are no streams: a thread that does neither keeps
    /// its version.
    ///
    /// Returns the latest time for the next call; `None` if nothing is pending.
    pub fn poll(&mut self) -> Option<Instant> {
        self.follow();
        if !self.old.is_empty() {
            self.drain();
        }
        let retry = self.retry.as_ref().map(|retry| retry.at);
        self.old.iter().filter_map(Serving::deadline).chain(retry).min()
    }

    /// Number of the version that serves new streams on this thread.
    pub fn version(&self) -> u64 {
        self.current.number()
    }

    /// The versions running on this thread, the one for new streams last.
    pub fn versions(&self) -> impl Iterator<Item = u64> {
        self.old.iter().chain([&self.current]).map(Serving::number)
    }

    /// The VM of a version and its root context, for ticks, queue events and answers to calls.
    /// `None` if the version no longer runs here.
    ///
    /// A failed VM may have been replaced since the event: events name their VM, and the new VM
    /// ignores those of another.
    pub fn vm(&mut self, version: u64) -> Option<(&mut Vm, ContextId)> {
        let serving = self.serving(version)?;
        let root = serving.root();
        Some((serving.plugin().vm(), root))
    }

    /// Counters of version changes on this thread.
    pub fn stats(&self) -> WorkerStats {
        self.stats
    }

    /// Counters of the VMs of the version that serves new streams.
    pub fn plugin_stats(&mut self) -> PluginStats {
        self.current.plugin().stats()
    }

    #[inline]
    fn serving(&mut self, version: u64) -> Option<&mut Serving> {
        if version == self.current.number() {
            return Some(&mut self.current);
        }
        self.old.iter_mut().find(|serving| serving.number() == version)
    }

    #[inline]
    fn follow(&mut self) {
        if self.deployment.version() != self.current.number() {
            self.switch();
        }
    }

    /// Starts the current version on this thread.
    #[cold]
    fn switch(&mut self) {
        let version = self.deployment.current();
        let now = Instant::now();
        let retry = self.retry.take_if(|retry| retry.version != version.number || now >= retry.at);
        if self.retry.is_some() {
            return;
        }
        let services = (self.services)(version.number);
        match Serving::start(version.clone(), self.deployment.config(), services) {
            Ok(serving) => {
                self.old.push(std::mem::replace(&mut self.current, serving));
                self.stats.switches += 1;
                self.drain();
            }
            Err(error) => {
                let backoff = self.deployment.config().start_backoff;
                let wait = retry
                    .filter(|retry| retry.version == version.number)
                    .map_or(backoff.base, |retry| (retry.wait * 2).clamp(backoff.base, backoff.max));
                self.retry = Some(Retry { version: version.number, at: now + wait, wait });
                self.stats.start_failures += 1;
                self.deployment.count_start_failure(&error);
                let (number, kept) = (version.number, self.current.number());
                let text = format!(
                    "version {number} does not start on this thread; version {kept} keeps serving, \
                     next attempt in {wait:?}: {}",
                    dynvm::with_causes(&error)
                );
                self.current.plugin().vm().log(LogLevel::Error, &text);
            }
        }
    }

    /// Drops old versions that are done.
    fn drain(&mut self) {
        let (now, timeout) = (Instant::now(), self.deployment.config().drain_timeout);
        let stats = &mut self.stats;
        self.old.retain_mut(|serving| {
            let drained = serving.drain(now, timeout);
            stats.drained += u64::from(drained != Drained::NotYet);
            stats.drain_timeouts += u64::from(drained == Drained::TimedOut);
            drained == Drained::NotYet
        });
    }
}
