//! Trust policies: which artifacts a loader accepts, decided on the same bytes that it then loads.
//!
//! A [`TrustPolicy`] has rules for native and for wasm artifacts. A [`Loader`](crate::Loader) with
//! a policy ([`LoaderOptions::trust`](crate::LoaderOptions::trust)) opens a file once, reads owner,
//! mode and bytes from that descriptor, applies the rules, and loads those bytes. It does not use
//! the path afterwards, so replacing the file has no effect.
//!
//! ```
//! use dynvm::trust::{Sha256Digest, TrustPolicy};
//! use dynvm::{LoadError, Loader, LoaderOptions};
//!
//! let mut policy = TrustPolicy::default();
//! policy.wasm.sha256 = Some(vec![Sha256Digest::of(b"the release")]);
//! let mut options = LoaderOptions::default();
//! options.trust = Some(policy);
//! # if cfg!(feature = "wasm") {
//! let error = Loader::with_options(options).unwrap().load_bytes("plugin", b"(module)").unwrap_err();
//! assert!(matches!(error, LoadError::Untrusted { .. }));
//! # }
//! ```
//!
//! | file | what |
//! |---|---|
//! | `policy` | the rules as data |
//! | `rules` | each rule, applied to the evidence |
//! | `verdict` | the outcome of each rule |
//! | `digest`, `signature` | identity of the bytes |
//! | `artifact` | an artifact read from a file |
//! | `file` | owner, mode and path of a file |
//! | `policy_file` | the TOML form (feature `policy-file`) |

mod artifact;
mod digest;
mod file;
mod policy;
#[cfg(feature = "policy-file")]
mod policy_file;
mod rules;
mod signature;
mod verdict;

pub use artifact::Artifact;
pub(crate) use artifact::Extent;
pub use digest::Sha256Digest;
pub use file::FileFacts;
pub use policy::{Evidence, Require, Rules, TrustPolicy};
#[cfg(feature = "policy-file")]
pub use policy_file::PolicyError;
pub use signature::{KeyId, PublicKey, SignatureError, verify_signature};
pub use verdict::{Outcome, Rule, Verdict, Violation};
