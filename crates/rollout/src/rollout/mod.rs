//! From one build of a plugin to another, step by step: a share of the streams is answered by the new one (split), and a share is shown to
//! the one that does not answer, to see whether it would have done the same (shadow).
//!
//! ```text
//!   Rollout           two deployments, the shares, and what was counted, for all threads of a process
//!     RolloutWorker   one thread: decides for each stream who answers, and records streams that are to be shadowed
//!       Worker        of either deployment
//!     shadow thread   takes recorded streams through a VM that reaches nothing but the recording, and compares
//! ```
//!
//! The path of an operator: shadow 1 %, read the divergences, split 1 %, 10 %, 100 %. `docs/rollout.md` says what a shadow sees, what is
//! compared, and what is not.
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
