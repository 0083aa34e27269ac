//! Versions of a Proxy-Wasm plugin in a process that serves streams: hot reload, and rollouts from one build to another.
//!
//! ```text
//!   deploy    the current version of a plugin on every thread; a new one is tried before it serves
//!   rollout   two deployments: the share of streams that each answers, and streams shown to both
//! ```
//!
//! A host that only reloads needs [`deploy`]; [`rollout`] is built on it. Both use the public API of [`dynvm`] alone.
//!
//! ```
//! # #[cfg(feature = "wasm")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use dynvm::host::{ConfigStream, Services};
//! use dynvm::{Loader, PluginConfig, VmConfig};
//! use dynvm_rollout::deploy::{Deployment, DeploymentConfig, Source};
//!
//! let text = br#"(module (func (export "proxy_abi_version_0_2_1")))"#;
//! let config = DeploymentConfig::new(VmConfig::default(), PluginConfig::named("noop"));
//! let deployment = Deployment::new(Loader::new()?, Source::bytes("noop.wat", text), config)?;
//! let mut worker = deployment.worker(|_version| Services::default())?;
//! let stream = worker.create_stream(Box::new(ConfigStream))?;
//! assert_eq!(stream.version(), 1);
//! worker.end(stream);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "wasm"))]
//! # fn main() {}
//! ```

#![forbid(unsafe_code)]

pub mod deploy;
pub mod rollout;
