//! Reloads when the file changes: overwritten in place, replaced by a rename, or reached through a
//! changed symbolic link, as in Kubernetes ConfigMaps (`plugin.so -> ..data/plugin.so`, `..data ->
//! ..2024_05_01`).

mod names;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use dynvm::abi::types::LogLevel;
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::{DeployError, Deployment};

/// Interval of checks for a directory that could not be watched.
const RETRY: Duration = Duration::from_secs(1);

/// Watches a deployment's file until dropped. Dropping waits for a reload in progress.
#[must_use = "watching ends when this is dropped"]
pub struct Watch {
    signals: Sender<Signal>,
    thread: Option<JoinHandle<()>>,
}

enum Signal {
    Changed(notify::Result<notify::Event>),
    Stop,
}

impl Deployment {
    /// Reloads on a separate thread whenever the file of the current version changes.
    ///
    /// The file is loaded once it has been unchanged for
    /// [`watch_debounce`](super::DeploymentConfig::watch_debounce), and only if its content
    /// differs. A missing or invalid file is logged and counted like any failed reload; the next
    /// change tries again. The watched path is fixed: after a later [`Deployment::reload_from`],
    /// watch again.
    ///
    /// # Errors
    ///
    /// The current version was loaded from memory, or the system cannot watch its directory.
    pub fn watch(&self) -> Result<Watch, DeployError> {
        let given = self.path()?;
        let failed = |source| DeployError::Watch { path: given.clone(), source };
        let path = std::path::absolute(&given).map_err(|error| failed(error.into()))?;
        let (signals, received) = channel();
        let sender = signals.clone();
        let watcher = notify::recommended_watcher(move |event| {
            // Sending fails only after the thread has ended, when changes no longer matter.
            let _ = sender.send(Signal::Changed(event));
        });
        let watcher = watcher.map_err(|error| failed(error.into()))?;
        let mut watching = Watching {
            deployment: self.clone(),
            given: given.clone(),
            path,
            watcher,
            received,
            names: BTreeSet::new(),
            directories: BTreeSet::new(),
        };
        watching.follow().map_err(|error| failed(error.into()))?;
        let thread = std::thread::Builder::new().name("dynvm-watch".to_owned()).spawn(move || watching.run());
        Ok(Watch { signals, thread: Some(thread.map_err(|error| failed(error.into()))?) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.signals.send(Signal::Stop);
        if let Some(thread) = self.thread.take() {
            // The panic has already been reported.
            let _ = thread.join();
        }
    }
}

/// State of the watching thread.
struct Watching {
    deployment: Deployment,
    /// The path as configured, for messages.
    given: PathBuf,
    path: PathBuf,
    watcher: RecommendedWatcher,
    received: Receiver<Signal>,
    /// Paths whose change may change the file.
    names: BTreeSet<PathBuf>,
    /// The directories that contain them.
    directories: BTreeSet<PathBuf>,
}

/// The watch was dropped.
struct Stopped;

impl Watching {
    fn run(mut self) {
        // Check once at the start: the file may have changed before the watch existed.
        while self.settle().is_ok() {
            // Watch first, then read: any later change causes an event.
            let complete = self.follow().is_ok();
            // The error is already logged and counted.
            let _ = self.deployment.reload_if_changed(&self.given);
            let wait = if complete { self.wait() } else { self.wait_at_most(RETRY).map(|_| ()) };
            if wait.is_err() {
                return;
            }
        }
    }

    /// Waits for a change of a relevant path.
    fn wait(&self) -> Result<(), Stopped> {
        loop {
            match self.received.recv() {
                Ok(Signal::Changed(event)) if self.concerns(&event) => return Ok(()),
                Ok(Signal::Changed(_)) => {}
                Ok(Signal::Stop) | Err(_) => return Err(Stopped),
            }
        }
    }

    /// The same with a time limit. Returns whether there was a change.
    fn wait_at_most(&self, time: Duration) -> Result<bool, Stopped> {
        let end = Instant::now() + time;
        loop {
            match self.received.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Signal::Changed(event)) if self.concerns(&event) => return Ok(true),
                Ok(Signal::Changed(_)) => {}
                Err(RecvTimeoutError::Timeout) => return Ok(false),
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return Err(Stopped),
            }
        }
    }

    fn concerns(&self, event: &notify::Result<notify::Event>) -> bool {
        match event {
            // Reads, including those of this thread, are not changes.
            Ok(event) if matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write)) => {
                false
            }
            Ok(event) => event.need_rescan() || event.paths.iter().any(|path| self.matters(path)),
            Err(error) => {
                let text = format!("{}: while watching: {error}", self.given.display());
                self.deployment.log(LogLevel::Error, &text);
                false
            }
        }
    }

    fn matters(&self, path: &Path) -> bool {
        self.names.contains(path) || self.directories.contains(path)
    }

    /// Waits until the file stops changing.
    fn settle(&self) -> Result<(), Stopped> {
        let debounce = self.deployment.config().watch_debounce;
        let mut before = Stamp::of(&self.path);
        loop {
            let changed = self.wait_at_most(debounce)?;
            let now = Stamp::of(&self.path);
            if !changed && now == before {
                return Ok(());
            }
            before = now;
        }
    }

    /// Watches each directory on the path to the file, following links. The set changes when a link does.
    fn follow(&mut self) -> notify::Result<()> {
        self.names = names::on_the_way(&self.path).into_iter().collect();
        let directories: BTreeSet<PathBuf> =
            self.names.iter().filter_map(|name| name.parent()).map(Path::to_owned).collect();
        for left in self.directories.difference(&directories) {
            // Fails if the directory no longer exists, and then it is not watched anyway.
            let _ = self.watcher.unwatch(left);
        }
        let mut result = Ok(());
        for directory in &directories {
            // A watched path may meanwhile be another directory of the same name.
            result = result.and(self.watcher.watch(directory, RecursiveMode::NonRecursive));
        }
        self.directories = directories;
        result
    }
}

/// File metadata that changes when the file is written or replaced.
#[derive(PartialEq, Eq)]
struct Stamp(Option<(u64, Option<SystemTime>, [u64; 2])>);

impl Stamp {
    fn of(path: &Path) -> Stamp {
        Stamp(std::fs::metadata(path).ok().map(|metadata| {
            #[cfg(unix)]
            let file = {
                use std::os::unix::fs::MetadataExt as _;
                [metadata.dev(), metadata.ino()]
            };
            #[cfg(not(unix))]
            let file = [0; 2];
            (metadata.len(), metadata.modified().ok(), file)
        }))
    }
}
