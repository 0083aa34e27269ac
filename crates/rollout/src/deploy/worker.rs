//! One thread that serves streams of a deployment.

use std::time::{Duration, Instant};

use dynvm::abi::types::LogLevel;
use dynvm::host::{Services, Stream};
use dynvm::{CallError, StartError};
use dynvm::{ContextId, PluginStats, Vm};

use super::Deployment;
use super::serving::{Drained, Serving};

/// A stream, and the VM in which it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamRef {
    pub(super) version: u64,
    pub(super) context: ContextId,
}

impl StreamRef {
    /// The version on which it began and on which it ends.
    pub fn version(self) -> u64 {
        self.version
    }

    /// Its context, which names the VM too: failed ones are replaced.
    pub fn context(self) -> ContextId {
        self.context
    }
}

/// What became of versions on one thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStats {
    /// Versions that were started after the first.
    pub switches: u64,
    /// Attempts to start a version that failed.
    pub start_failures: u64,
    /// Old versions that were ended.
    pub drained: u64,
    /// How many of these had not called `proxy_done` in time.
    pub drain_timeouts: u64,
}

/// One thread that serves streams of a [`Deployment`]. It belongs to its thread, as VMs do.
///
/// New streams go to the current version; running streams finish on the version on which they began. The last stream of an old version
/// ends it: `proxy_on_done`, time until `proxy_done` if the plugin asks for it, `proxy_on_delete`; then its VM is dropped, which unloads
/// native code.
///
/// When a worker is dropped, its VMs are too, without further callbacks.
pub struct Worker {
    deployment: Deployment,
    services: Box<dyn FnMut(u64) -> Services>,
    current: Serving,
    /// Versions that still have streams or time, oldest first.
    old: Vec<Serving>,
    retry: Option<Retry>,
    stats: WorkerStats,
}

/// When a version that did not start is tried again.
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

    /// Creates a stream on the current version, which is started first if it is new to this thread.
    ///
    /// Should it not start here, the stream goes to the version before it, and it is tried again later
    /// ([`DeploymentConfig::start_backoff`](super::DeploymentConfig::start_backoff)).
    ///
    /// # Errors
    ///
    /// As [`Vm::create_stream`].
    #[inline]
    pub fn create_stream(&mut self, stream: Box<dyn Stream>) -> Result<StreamRef, CallError> {
        self.create_stream_by(|vm, root| vm.create_stream(root, stream))
    }

    /// The same, by whoever makes the context.
    #[inline]
    pub(crate) fn create_stream_by(
        &mut self,
        create: impl FnOnce(&mut Vm, ContextId) -> Result<ContextId, CallError>,
    ) -> Result<StreamRef, CallError> {
        self.follow();
        self.current.create_stream(create)
    }

    /// The VM in which a stream runs, for its callbacks. `None`: the stream has ended with its VM, which failed and was replaced; or it
    /// is another worker's.
    #[inline]
    pub fn vm_of(&mut self, stream: StreamRef) -> Option<&mut Vm> {
        self.serving(stream.version)?.vm_of(stream)
    }

    /// Ends a stream, as [`Vm::delete_stream`] does, and with the last stream of an old version that version.
    pub fn end(&mut self, stream: StreamRef) -> Option<Box<dyn Stream>> {
        let ended = self.serving(stream.version)?.end(stream);
        if stream.version != self.current.number() {
            self.drain();
        }
        ended
    }

    /// Starts the current version if it is new, and ends old ones that are done or whose time is over. Hosts call it after they have
    /// delivered an event that is not of a stream (a tick, an answer to a call), when the time that it returned has come, and now and
    /// then while there are no streams: a thread that does neither keeps the version that it has.
    ///
    /// Returns when to call it at the latest; `None`: nothing is being waited for.
    pub fn poll(&mut self) -> Option<Instant> {
        self.follow();
        if !self.old.is_empty() {
            self.drain();
        }
        let retry = self.retry.as_ref().map(|retry| retry.at);
        self.old.iter().filter_map(Serving::deadline).chain(retry).min()
    }

    /// The number of the version that new streams get on this thread.
    pub fn version(&self) -> u64 {
        self.current.number()
    }

    /// The versions that run on this thread, the one for new streams last.
    pub fn versions(&self) -> impl Iterator<Item = u64> {
        self.old.iter().chain([&self.current]).map(Serving::number)
    }

    /// The VM of a version and its root context, for ticks, queue events and answers to calls. `None`: it does not run here any more.
    ///
    /// It may have replaced the one that an event is for: events name their VM, and one for another is unknown to this one.
    pub fn vm(&mut self, version: u64) -> Option<(&mut Vm, ContextId)> {
        let serving = self.serving(version)?;
        let root = serving.root();
        Some((serving.plugin().vm(), root))
    }

    /// What became of versions on this thread.
    pub fn stats(&self) -> WorkerStats {
        self.stats
    }

    /// What became of the VMs of the version that new streams get.
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
                    "version {number} does not start on this thread; version {kept} goes on, next attempt in {wait:?}: {}",
                    dynvm::with_causes(&error)
                );
                self.current.plugin().vm().log(LogLevel::Error, &text);
            }
        }
    }

    /// Ends old versions that are done.
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
