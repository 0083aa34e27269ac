//! The current version of a plugin, shared by all threads of a process.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use dynvm::abi::types::LogLevel;
use dynvm::host::{LogSource, Services};
use dynvm::{Loader, Module, Plugin, PluginConfig, ReloadBackoff, StartError, with_causes};

use super::source::Origin;
use super::status::{DeploymentStatus, FailedAttempt};
use super::version::Version;
use super::{DeployError, DeploymentConfig, Source, Worker};

/// The current version of a plugin, shared by all threads of a process. Clones refer to the same deployment.
///
/// Any thread may reload; reloads run one at a time. Loading and trying a version happens on the
/// calling thread, which should therefore not be one that serves streams.
#[derive(Clone)]
pub struct Deployment {
    shared: Arc<Shared>,
}

struct Shared {
    /// Number of the current version; workers check it for each new stream.
    latest: AtomicU64,
    loader: Loader,
    config: DeploymentConfig,
    /// Held for a whole reload.
    reloading: Mutex<Origin>,
    /// Held only briefly, never while plugins run.
    state: Mutex<State>,
}

struct State {
    current: Arc<Version>,
    /// All versions that may still be in memory.
    versions: Vec<Weak<Version>>,
    reloads_succeeded: u64,
    reloads_failed: u64,
    last_error: Option<FailedAttempt>,
    start_failures: u64,
    last_start_failure: Option<FailedAttempt>,
}

/// The input of a new version.
struct Candidate {
    module: Module,
    plugin_config: PluginConfig,
    /// `None`: unchanged.
    origin: Option<Origin>,
}

impl Deployment {
    /// Loads the first version and tries it on this thread.
    ///
    /// # Errors
    ///
    /// The artifact cannot be loaded, or its plugin does not start.
    pub fn new(loader: Loader, source: impl Into<Source>, config: DeploymentConfig) -> Result<Deployment, DeployError> {
        let source = source.into();
        let module = load(&loader, &source)?;
        try_out(&module, &config, &config.plugin_config)?;
        let current = Arc::new(Version::new(1, module, config.plugin_config.clone()));
        let state = State {
            versions: vec![Arc::downgrade(&current)],
            current,
            reloads_succeeded: 0,
            reloads_failed: 0,
            last_error: None,
            start_failures: 0,
            last_start_failure: None,
        };
        let shared = Shared {
            latest: AtomicU64::new(1),
            loader,
            config,
            reloading: Mutex::new(Origin::from(&source)),
            state: Mutex::new(state),
        };
        Ok(Deployment { shared: Arc::new(shared) })
    }

    /// Loads the file of the current version again. Returns the number of the new version.
    ///
    /// # Errors
    ///
    /// As [`Deployment::reload_from`], or the current version was loaded from memory.
    pub fn reload(&self) -> Result<u64, DeployError> {
        self.replace(|origin, current| {
            let path = match origin {
                Origin::File(path) => path.clone(),
                Origin::Memory { name } => return Err(DeployError::NoFile { name: name.clone() }),
            };
            let module = load(&self.shared.loader, &Source::File(path))?;
            Ok(Candidate { module, plugin_config: current.plugin_config.clone(), origin: None })
        })
    }

    /// Loads a version from a file, whatever the previous source was. [`Deployment::reload`] reads
    /// this file from then on.
    ///
    /// # Errors
    ///
    /// The artifact cannot be loaded, or its plugin does not start. The previous version stays
    /// current; the error is counted and logged.
    pub fn reload_from(&self, path: impl Into<PathBuf>) -> Result<u64, DeployError> {
        self.reload_source(&Source::File(path.into()))
    }

    /// Loads a version from memory. The name appears in messages.
    ///
    /// # Errors
    ///
    /// As [`Deployment::reload_from`].
    pub fn reload_bytes(&self, name: impl Into<String>, bytes: &[u8]) -> Result<u64, DeployError> {
        self.reload_source(&Source::bytes(name, bytes))
    }

    /// Creates a version from the current module with another plugin configuration, without reading the file.
    ///
    /// # Errors
    ///
    /// The plugin refuses the configuration, or fails with it. The previous version stays current;
    /// the error is counted and logged.
    pub fn reload_config(&self, plugin_config: PluginConfig) -> Result<u64, DeployError> {
        self.replace(|_, current| Ok(Candidate { module: current.module.clone(), plugin_config, origin: None }))
    }

    /// The number of the current version.
    #[inline]
    pub fn version(&self) -> u64 {
        self.shared.latest.load(Ordering::Acquire)
    }

    /// The current and retained versions, with counts and errors.
    pub fn status(&self) -> DeploymentStatus {
        let mut state = lock(&self.shared.state);
        state.forget_gone();
        DeploymentStatus {
            current: state.current.status(),
            retained: state.versions.iter().filter_map(Weak::upgrade).map(|version| version.status()).collect(),
            reloads_succeeded: state.reloads_succeeded,
            reloads_failed: state.reloads_failed,
            last_error: state.last_error.clone(),
            start_failures: state.start_failures,
            last_start_failure: state.last_start_failure.clone(),
        }
    }

    /// Starts the current version on this thread.
    ///
    /// `services` is called with the version's number for each version started on the thread, and
    /// must return separate services: context ids and call ids of two versions may coincide, so
    /// timers, calls and wakers must know their version ([`Worker::vm`] takes its number). Hosts
    /// that use none of these can clone one `Services`.
    ///
    /// # Errors
    ///
    /// The VM cannot be created, or the plugin does not start on this thread.
    pub fn worker(&self, services: impl FnMut(u64) -> Services + 'static) -> Result<Worker, StartError> {
        Worker::start(self.clone(), Box::new(services))
    }

    /// The plugin's name in the configuration.
    pub(crate) fn plugin_name(&self) -> String {
        self.shared.config.plugin_config.name.clone()
    }

    /// Starts the current version on this thread outside a worker: it is not drained, and is
    /// replaced after every failure.
    pub(crate) fn start_detached(
        &self,
        services: Services,
        change: impl FnOnce(&mut dynvm::VmConfig),
    ) -> (u64, Result<Plugin, StartError>) {
        let version = self.current();
        let mut vm_config = self.shared.config.vm_config.clone();
        change(&mut vm_config);
        let plugin_config = version.plugin_config.clone().failure_policy(dynvm::FailurePolicy::Reload);
        let plugin = Plugin::builder(&version.module, plugin_config).vm_config(vm_config).services(services);
        (version.number, plugin.backoff(ReloadBackoff::none()).start())
    }

    pub(super) fn config(&self) -> &DeploymentConfig {
        &self.shared.config
    }

    pub(super) fn current(&self) -> Arc<Version> {
        lock(&self.shared.state).current.clone()
    }

    /// Counts and logs a start failure on a thread that has no other version.
    pub(crate) fn not_started(&self, error: &StartError) {
        self.count_start_failure(error);
        self.log(LogLevel::Error, &format!("does not start on this thread: {}", with_causes(error)));
    }

    /// Counts a start failure on a worker's thread.
    pub(super) fn count_start_failure(&self, error: &StartError) {
        let mut state = lock(&self.shared.state);
        state.start_failures += 1;
        state.last_start_failure = Some(FailedAttempt::now(error));
    }

    /// Logs a message about the deployment.
    pub(super) fn log(&self, level: LogLevel, message: &str) {
        let config = &self.shared.config;
        if level >= config.log.level() {
            let source = LogSource::vm(&config.vm_config.vm_id, &config.plugin_config.name);
            config.log.log(source, level, message.as_bytes());
        }
    }

    /// The file of the current version.
    #[cfg(feature = "watch")]
    pub(super) fn path(&self) -> Result<PathBuf, DeployError> {
        match &*lock(&self.shared.reloading) {
            Origin::File(path) => Ok(path.clone()),
            Origin::Memory { name } => Err(DeployError::NoFile { name: name.clone() }),
        }
    }

    /// Reloads if the file's content differs from the current version's.
    #[cfg(feature = "watch")]
    pub(super) fn reload_if_changed(&self, path: &std::path::Path) -> Result<Option<u64>, DeployError> {
        // The bytes are only compared. An unreadable file fails below, like in any reload.
        if std::fs::read(path).is_ok_and(|bytes| self.current().module.info().is_of(&bytes)) {
            return Ok(None);
        }
        let number = self.reload_from(path)?;
        // The next change of the file is compared with this content, which may not be there any more by then.
        self.current().module.info().sha256();
        Ok(Some(number))
    }

    fn reload_source(&self, source: &Source) -> Result<u64, DeployError> {
        self.replace(|_, current| {
            let module = load(&self.shared.loader, source)?;
            Ok(Candidate { module, plugin_config: current.plugin_config.clone(), origin: Some(Origin::from(source)) })
        })
    }

    /// Creates and tries a candidate before workers can see it.
    fn replace(
        &self,
        candidate: impl FnOnce(&Origin, &Version) -> Result<Candidate, DeployError>,
    ) -> Result<u64, DeployError> {
        let mut origin = lock(&self.shared.reloading);
        let tried = candidate(&origin, &self.current()).and_then(|candidate| {
            try_out(&candidate.module, &self.shared.config, &candidate.plugin_config)?;
            Ok(candidate)
        });
        match tried {
            Ok(candidate) => {
                let name = candidate.module.name().to_owned();
                let number = self.publish(candidate.module, candidate.plugin_config);
                if let Some(new) = candidate.origin {
                    *origin = new;
                }
                self.log(LogLevel::Info, &format!("{name}: version {number} is current"));
                Ok(number)
            }
            Err(error) => {
                let mut state = lock(&self.shared.state);
                state.reloads_failed += 1;
                state.last_error = Some(FailedAttempt::now(&error));
                drop(state);
                self.log(
                    LogLevel::Error,
                    &format!("not reloaded, version {} stays current: {}", self.version(), with_causes(&error)),
                );
                Err(error)
            }
        }
    }

    fn publish(&self, module: Module, plugin_config: PluginConfig) -> u64 {
        let mut state = lock(&self.shared.state);
        let number = state.current.number + 1;
        let version = Arc::new(Version::new(number, module, plugin_config));
        state.versions.push(Arc::downgrade(&version));
        let before = std::mem::replace(&mut state.current, version);
        state.reloads_succeeded += 1;
        // Workers that see the number find the version behind the lock.
        self.shared.latest.store(number, Ordering::Release);
        state.forget_gone();
        drop(state);
        // If no worker runs the old version, its code is unmapped here, without the lock.
        drop(before);
        number
    }
}

impl State {
    fn forget_gone(&mut self) {
        self.versions.retain(|version| version.strong_count() > 0);
    }
}

fn load(loader: &Loader, source: &Source) -> Result<Module, DeployError> {
    Ok(match source {
        Source::File(path) => loader.load_file(path)?,
        Source::Bytes { name, bytes } => loader.load_bytes(name, bytes)?,
    })
}

/// Starts the plugin once on this thread, as a trial.
fn try_out(module: &Module, config: &DeploymentConfig, plugin_config: &PluginConfig) -> Result<(), DeployError> {
    match Plugin::builder(module, plugin_config.clone())
        .vm_config(config.vm_config.clone())
        .services((config.canary_services)())
        .start()
    {
        Ok(_) => Ok(()),
        Err(source) => Err(DeployError::Canary { name: module.name().to_owned(), source }),
    }
}

/// Locks, even after a panic elsewhere: guarded state is never left half updated.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}
