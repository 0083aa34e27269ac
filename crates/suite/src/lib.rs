//! Runs unmodified test suites of Google's wasm-tester for Service Extensions against native and
//! wasm builds of a plugin.
//!
//! A suite is a file in the text format of protocol buffers or in YAML, with requests, responses,
//! expected results, and benchmarks. `docs/suites.md` describes it.
//!
//! ```
//! use dynvm_suite::{Format, Runner, Suite};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let text = r#"
//!     test {
//!       name: "goes through"
//!       request_headers {
//!         input { content: "GET / HTTP/1.1" }
//!         result { has_header { key: ":path" value: "/" } }
//!       }
//!     }"#;
//! let suite = Suite::parse(text, Format::TextProto, "tests.textpb")?;
//! # #[cfg(feature = "wasm")] {
//! let plugin = br#"(module (func (export "proxy_abi_version_0_2_1")))"#;
//! let module = dynvm::Loader::new()?.load_bytes("noop.wat", plugin)?;
//! let runner = Runner::new(&suite, module)?;
//! for test in &suite.tests {
//!     let result = runner.run(test);
//!     assert!(result.passed(), "{}: {:?}", result.id(), result.failures);
//! }
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! | module | idea |
//! |---|---|
//! | `schema`, `textpb`, `yaml`, `decode`, [`model`] | parse a file into tests |
//! | `http1`, `input`, `header_map` | inputs of callbacks |
//! | `host` | the plugin's host |
//! | `run`, `matcher`, `re2` | run a test and check expectations |
//! | [`mod@bench`] | benchmarks |
//! | [`junit`] | machine-readable results |

#![forbid(unsafe_code)]

pub mod bench;
pub mod junit;
pub mod model;

mod decode;
mod files;
mod filter;
mod header_map;
mod host;
mod http1;
mod input;
mod matcher;
mod re2;
mod read;
mod result;
mod run;
mod schema;
mod textpb;
mod yaml;

pub use filter::Filter;
pub use model::Suite;
pub use read::{Format, ReadError};
pub use result::{Difference, Failure, Observed, TestResult, difference};
pub use run::{NewTracer, Runner, SetupError};
