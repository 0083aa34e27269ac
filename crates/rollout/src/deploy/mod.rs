//! Hot reload: replaces a plugin's version while its streams continue.
//!
//! ```text
//!   Deployment      the current version of a plugin, for all threads of a process
//!     Worker        one thread: new streams go to the current version, running ones stay on theirs
//!       Plugin      one version on that thread, from its first stream until the last has ended
//! ```
//!
//! A new version is loaded and tried (a VM is created and the plugin started) before any worker
//! sees it; if anything fails, the previous version keeps serving. `docs/hot-reload.md` states the
//! guarantees.
//!
//! ```
//! # #[cfg(feature = "wasm")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use dynvm_rollout::deploy::{Deployment, DeploymentConfig, Source};
//! use dynvm::host::{ConfigStream, Services};
//! use dynvm::{Loader, PluginConfig, VmConfig};
//!
//! let text = br#"(module (func (export "proxy_abi_version_0_2_1")))"#;
//! let config = DeploymentConfig::new(VmConfig::default(), PluginConfig::named("noop"));
//! let deployment = Deployment::new(Loader::new()?, Source::bytes("noop.wat", text), config)?;
//!
//! // On each thread that serves streams:
//! let mut worker = deployment.worker(|_version| Services::default())?;
//! let first = worker.create_stream(Box::new(ConfigStream))?;
//!
//! // On any thread, for example when SIGHUP has come:
//! assert_eq!(deployment.reload_bytes("noop.wat", text)?, 2);
//! assert!(deployment.reload_bytes("broken.wat", b"(module").is_err());
//!
//! let second = worker.create_stream(Box::new(ConfigStream))?;
//! assert_eq!((first.version(), second.version()), (1, 2));
//! if let Some(vm) = worker.vm_of(first) {
//!     vm.on_request_headers(first.context(), 0, true);
//! }
//! worker.end(first);
//! assert_eq!(deployment.status().retained.len(), 1);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "wasm"))]
//! # fn main() {}
//! ```
//!
//! A host reloads on SIGHUP with a thread that waits for the signal (crate `signal-hook`);
//! `examples/hosts/hot-reload` is a complete example:
//!
//! ```text
//! let mut signals = signal_hook::iterator::Signals::new([SIGHUP])?;
//! std::thread::spawn(move || {
//!     for _ in signals.forever() {
//!         // The error is in the deployment's log and in its status.
//!         let _ = deployment.reload();
//!     }
//! });
//! ```

mod config;
mod deployment;
mod error;
#[cfg(feature = "watch")]
mod file_watch;
mod serving;
mod source;
mod status;
mod version;
mod worker;

pub use config::{CanaryServices, DeploymentConfig, isolated_services};
pub use deployment::Deployment;
pub use error::DeployError;
#[cfg(feature = "watch")]
pub use file_watch::Watch;
pub use source::Source;
pub use status::{DeploymentStatus, FailedAttempt, VersionStatus};
pub use worker::{StreamRef, Worker, WorkerStats};
