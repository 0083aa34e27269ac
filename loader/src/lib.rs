//! Loads Proxy-Wasm plugins and runs them behind one interface: WebAssembly modules in wasmtime,
//! native shared objects at native speed.
//!
//! ```text
//!   Module        an artifact, checked and compiled; immutable, shared by all threads
//!     Vm          one running instance on one thread: callbacks down, hostcalls up
//!       root      one plugin configuration in that VM
//!         stream  one HTTP stream or TCP connection: the embedder's `Stream`
//!   Services      of the host: log, clock, metrics, shared data, queues, calls, timers, properties
//! ```
//!
//! The smallest embedding loads a module, starts a plugin, and drives a stream:
//!
//! ```
//! # #[cfg(feature = "wasm")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use dynvm::host::{ConfigStream, Services};
//! use dynvm::{Loader, PluginConfig, Vm, VmConfig};
//!
//! let text = br#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1")))"#;
//! let module = Loader::new()?.load_bytes("noop.wat", text)?;
//! let mut vm = Vm::builder(&module).build()?;
//! let root = vm.start_plugin(PluginConfig::named("noop"))?;
//! let stream = vm.create_stream(root, Box::new(ConfigStream))?;
//! let status = vm.on_request_headers(stream, 0, true);
//! assert_eq!(status, dynvm::abi::types::FilterHeadersStatus::Continue);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "wasm"))]
//! # fn main() {}
//! ```

#[cfg(not(any(feature = "native", feature = "wasm", feature = "null")))]
compile_error!("dynvm needs at least one backend: enable the feature `native`, `wasm` or `null`");

pub use dynvm_abi as abi;

pub mod bundle;
pub mod call_trace;
pub mod header_pairs;
pub mod host;
#[cfg(any(feature = "native", feature = "null"))]
pub mod image;
pub mod inspect;
pub mod observe;
pub mod trust;

/// Plugins that are part of the program: their descriptions, and the names by which [`Loader::load_linked`] finds them.
#[cfg(feature = "null")]
pub mod linked {
    pub use dynvm_abi::linked::*;

    pub use crate::module::linked::{module, names, register};
}

#[cfg(feature = "null")]
pub use dynvm_abi::__thread_local_block;

/// Options of the native backend.
#[cfg(feature = "native")]
pub mod native {
    pub use crate::backend::native::{Interpose, Loading, Options};
}

/// Options of the wasm backend.
#[cfg(feature = "wasm")]
pub mod wasm {
    pub use crate::backend::wasm::{CpuLimit, Options};
}

mod access;
mod artifact;
mod backend;
mod config;
mod error;
mod fork;
mod hostcalls;
mod id;
mod instance;
mod limitation;
mod module;
mod pin;
mod plugin;
mod telemetry;
mod vm;

/// The results of callbacks, which every embedder matches on.
pub use abi::types::{FilterDataStatus, FilterHeadersStatus, FilterStatus, FilterTrailersStatus};
pub use artifact::{ArtifactKind, BackendKind, BackendPreference, Choice, ModuleInfo};
pub use config::{CallbackBudget, CapabilityRestriction, FailurePolicy, OverrunAction, PluginConfig, VmConfig};
pub use error::{CallError, Failure, FailureKind, LoadError, StartError, with_causes};
pub use id::{CallId, ContextId, VmId};
pub use limitation::{Limitation, Protection};
pub use module::{Loader, LoaderOptions, Module};
pub use pin::PinReason;
pub use plugin::{Plugin, PluginBuilder, PluginStats, ReloadBackoff};
pub use trust::Artifact;
pub use vm::{MovableVm, Pinned, RootDone, Vm, VmBuilder};
