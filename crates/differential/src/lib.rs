//! Runs two builds of a Proxy-Wasm plugin on the same traffic, in lockstep, and reports the first difference.
//!
//! ```text
//!   scenario   a plugin's configuration and traffic, as a JSON file: arbitrary bytes, interleaved streams
//!   traffic    the same from JSON Lines and HAR files
//!   generate   traffic from a seed and a dictionary of the plugin
//!     start    a plugin in a simulated proxy, with its log if it does not start
//!     lockstep both builds a step at a time in a simulated proxy, compared as they go
//!       failures   failures that both builds share, by kind
//!       campaign   many generated streams, on several threads, in constant memory
//!       shrink     reduces a scenario to a minimal reproducer
//!       explain    tests which build is deterministic, and why they differ
//!       align      both traces side by side, the difference marked
//! ```
//!
//! [`dynvm_compare`] defines what counts as a difference. `dynvm ab` is the command-line interface
//! of this crate; `docs/differential.md` describes what is compared and what is not.
//!
//! ```
//! # #[cfg(feature = "wasm")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use dynvm::Loader;
//! use dynvm_compare::rules::Rules;
//! use dynvm_differential::lockstep::{Pair, run};
//! use dynvm_differential::scenario::Scenario;
//!
//! let loader = Loader::new()?;
//! let build = |name: &str| {
//!     let text = br#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1")))"#;
//!     loader.load_bytes(name, text)
//! };
//! let pair = Pair { native: build("one.wat")?, wasm: build("other.wat")? };
//! let scenario = Scenario::parse(r#"{"steps": [{"request": {"path": "/"}}]}"#)?;
//! assert!(run(&pair, &scenario, Rules::default())?.divergence.is_none());
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "wasm"))]
//! # fn main() {}
//! ```

#![forbid(unsafe_code)]

pub mod align;
pub mod campaign;
pub mod explain;
pub mod failures;
pub mod generate;
pub mod lockstep;
mod outcome;
pub mod scenario;
pub mod shrink;
pub mod start;
pub mod traffic;
