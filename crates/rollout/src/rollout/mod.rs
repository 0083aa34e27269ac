//! Gradual replacement of one build of a plugin by another: the new build serves a share of the
//! streams (split), and a share is replayed on the build that does not serve them, to compare
//! behavior (shadow).
//!
//! ```text
//!   Rollout           two deployments, the shares, and counters, for all threads of a process
//!     RolloutWorker   one thread: assigns each stream to a deployment, and records shadowed streams
//!       Worker        serves one deployment
//!     shadow thread   replays recorded streams in an isolated VM, and compares
//! ```
//!
//! An operator's path: shadow 1 %, read the divergences, split 1 %, 10 %, 100 %. `docs/rollout.md`
//! says what a shadow sees and what is compared.
//!
//! ```
//! # #[cfg(feature = "wasm")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use dynvm_rollout::deploy::{Deployment, DeploymentConfig, Source};
//! use dynvm::host::{ConfigStream, Services};
//! use dynvm_rollout::rollout::{Rollout, RolloutConfig, Share};
//! use dynvm::{Loader, PluginConfig, VmConfig};
//!
//! let text = br#"(module (func (export "proxy_abi_version_0_2_1")))"#;
//! let config = DeploymentConfig::new(VmConfig::default(), PluginConfig::named("noop"));
//! let stable = Deployment::new(Loader::new()?, Source::bytes("old.wat", text), config.clone())?;
//! let candidate = Deployment::new(Loader::new()?, Source::bytes("new.wat", text), config)?;
//! let rollout = Rollout::new(stable, candidate, RolloutConfig::default());
//! rollout.set_shadow(Share::ALL);
//!
//! // On each thread that serves streams:
//! let mut worker = rollout.worker(|_arm, _version| Services::default())?;
//! let stream = worker.create_stream(Some(b"client 7"), Box::new(ConfigStream))?;
//! worker.call(stream, |vm, context| vm.on_request_headers(context, 0, true));
//! worker.end(stream);
//!
//! assert!(rollout.flush(Duration::from_secs(60)));
//! assert_eq!(rollout.snapshot().shadow.same, 1);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "wasm"))]
//! # fn main() {}
//! ```

mod compare;
mod config;
mod counters;
mod deployments;
mod prometheus;
mod queue;
mod recording;
mod replay;
mod share;
mod snapshot;
mod worker;

pub use compare::Aspect;
pub use config::RolloutConfig;
use counters::Counters;
pub use counters::{Divergence, DivergenceCount, RolloutSnapshot, ShadowStats};
pub use deployments::{Arm, Rollout};
pub use share::Share;
pub use worker::{RolloutStream, RolloutWorker};
