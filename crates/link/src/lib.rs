//! Links Proxy-Wasm plugins into a Rust program, from its build script.
//!
//! ```no_run
//! // build.rs
//! fn main() -> Result<(), dynvm_link::LinkError> {
//!     dynvm_link::plugin("../plugins/header-rewrite").emit()
//! }
//! ```
//!
//! The program then has the plugin as a static, whose type is `dynvm::linked::Linked`:
//!
//! ```ignore
//! mod header_rewrite {
//!     include!(concat!(env!("OUT_DIR"), "/header-rewrite.rs"));
//! }
//! use header_rewrite::PLUGIN;
//! ```
//!
//! The plugin's source stays as it is for a shared object and for wasm. It is compiled to objects, joined to one object, and all
//! names in it become local, so that plugins with different SDKs, standard libraries and languages stand side by side in one program.
//! What plugins linked into a program share with it and with each other is in `docs/nullvm.md`.
//!
//! | file | idea |
//! |---|---|
//! | `linker` | finds the linker that comes with rustc, and joins |
//! | `layout` | which variables have to stand side by side, as a linker script |
//! | `rewrite` | names and sections of the joined object |
//! | `state` | where a plugin keeps its state |
//! | `check` | what has to hold for the result |
//! | `libraries` | what the libraries of the system define |
//! | `archive` | writes a static library |
//! | `descriptor` | writes the Rust source |
//! | `header` | writes the same in C |

#![forbid(unsafe_code)]

mod archive;
mod check;
mod descriptor;
mod error;
mod header;
mod layout;
mod libraries;
mod linker;
mod plugin;
mod rewrite;
mod state;
mod target;

pub use dynvm_abi::descriptor::StateModel;
pub use error::LinkError;
pub use plugin::{Output, Plugin, plugin};
pub use state::statics_of_shared_object;
pub use target::Target;
