//! Versions of a Proxy-Wasm plugin in a serving process: hot reload, and rollouts from one build to another.
//!
//! ```text
//!   deploy    the current version of a plugin on every thread; a new version is tried before it serves
//!   rollout   two deployments: the share of streams that each serves, and shadowed streams
//! ```
//!
//! A host that only reloads needs [`deploy`]; [`rollout`] builds on it. Both use only the public API of [`dynvm`].
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
