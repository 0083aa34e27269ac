//! Reloads when the file changes: overwritten in place, renamed over, or reached through a symbolic link that now leads elsewhere, as
//! Kubernetes does with ConfigMaps (`plugin.so -> ..data/plugin.so`, `..data -> ..2024_05_01`).

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

/// How often it is looked whether a directory that could not be watched is there again.
const RETRY: Duration = Duration::from_secs(1);

/// Watches a deployment's file until it is dropped, which waits for a reload under way.
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
    /// Reloads whenever the file of the current version changes, on a thread of its own.
    ///
    /// It is loaded once it has been left alone for [`watch_debounce`](super::DeploymentConfig::watch_debounce), and only if its
    /// content is another. A file that does not load, or is not there, is logged and counted as any reload; the next change tries again.
    /// The path is the one of now: after a later [`Deployment::reload_from`], watch again.
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
            // Fails when the thread has ended: then nobody wants to know.
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
            // A panic of the thread has been reported where it happened.
            let _ = thread.join();
        }
    }
}

/// What the thread has.
struct Watching {
    deployment: Deployment,
    /// As the deployment was given it, for messages.
    given: PathBuf,
    path: PathBuf,
    watcher: RecommendedWatcher,
    received: Receiver<Signal>,
    /// Names whose change may change the file.
    names: BTreeSet<PathBuf>,
    /// The directories that have them.
    directories: BTreeSet<PathBuf>,
}

/// The watch was dropped.
struct Stopped;

impl Watching {
    fn run(mut self) {
        // The first time at once: the file may have changed before it was watched.
        while self.settle().is_ok() {
            // First the watches, then the content: a change after this is an event.
            let complete = self.follow().is_ok();
            // The error has been logged and counted.
            let _ = self.deployment.reload_if_changed(&self.given);
            let wait = if complete { self.wait() } else { self.wait_at_most(RETRY).map(|_| ()) };
            if wait.is_err() {
                return;
            }
        }
    }

    /// Waits for a change of a name that matters.
    fn wait(&self) -> Result<(), Stopped> {
        loop {
            match self.received.recv() {
                Ok(Signal::Changed(event)) if self.concerns(&event) => return Ok(()),
                Ok(Signal::Changed(_)) => {}
                Ok(Signal::Stop) | Err(_) => return Err(Stopped),
            }
        }
    }

    /// The same for some time. True: there was one.
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
            // Reading, which this does itself, is no change.
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

    /// Waits until the file has been left alone.
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

    /// Watches each directory that has a name on the way to the file. These change when a link does.
    fn follow(&mut self) -> notify::Result<()> {
        self.names = names::on_the_way(&self.path).into_iter().collect();
        let directories: BTreeSet<PathBuf> =
            self.names.iter().filter_map(|name| name.parent()).map(Path::to_owned).collect();
        for left in self.directories.difference(&directories) {
            // Fails for one that is not there any more, which is not watched either.
            let _ = self.watcher.unwatch(left);
        }
        let mut result = Ok(());
        for directory in &directories {
            // One that is watched already may be another directory of the same name by now.
            result = result.and(self.watcher.watch(directory, RecursiveMode::NonRecursive));
        }
        self.directories = directories;
        result
    }
}

/// What changes when a file is written or replaced.
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
