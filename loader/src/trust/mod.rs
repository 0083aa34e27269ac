//! Trust: which artifacts a loader may load, decided on the very bytes that are then loaded.
//!
//! A [`TrustPolicy`] has rules for native and for wasm artifacts. A [`Loader`](crate::Loader) that is given one
//! ([`LoaderOptions::trust`](crate::LoaderOptions::trust)) opens a file once, takes owner, mode and bytes from that descriptor, applies the
//! rules, and loads those bytes: nothing of the path is used afterwards, so replacing the file changes nothing.
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
//! | `rules` | each rule, applied to the evidence |
//! | `verdict` | what came of it |
//! | `digest`, `signature` | identity of the bytes |
//! | `artifact` | what is read of a file |
//! | `file` | facts of the file system |
//! | `policy_file` | the TOML form (feature `policy-file`) |

mod artifact;
mod digest;
mod file;
#[cfg(feature = "policy-file")]
mod policy_file;
mod rules;
mod signature;
mod verdict;

use std::path::PathBuf;

pub use artifact::Artifact;
pub use digest::Sha256Digest;
pub use file::FileFacts;
#[cfg(feature = "policy-file")]
pub use policy_file::PolicyError;
pub use signature::{KeyId, PublicKey, SignatureError, verify_signature};
pub use verdict::{Outcome, Rule, Verdict, Violation};

use crate::{ArtifactKind, LoadError};

/// What artifacts have to be like to be loaded.
///
/// The default allows wasm, which is sandboxed, without conditions, and no native code, which has all rights of the process.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TrustPolicy {
    /// For native artifacts.
    pub native: Rules,
    /// For wasm artifacts, binary and text.
    pub wasm: Rules,
}

/// The rules for one kind of artifact. A rule that is `None` (or false) asks for nothing; each other rule has to hold.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Rules {
    /// Whether this kind may be loaded at all.
    pub allow: bool,
    /// Whether one of the identity rules, `sha256` and `keys`, is enough where both are set. The other rules have to hold in any case.
    pub require: Require,
    /// The artifacts that are allowed, by digest. An empty list allows none.
    pub sha256: Option<Vec<Sha256Digest>>,
    /// The keys, one of which has to have signed the artifact. An empty list allows none.
    pub keys: Option<Vec<PublicKey>>,
    /// The users (uids) to one of whom the file has to belong; the folders above it to one of them or to root.
    pub owners: Option<Vec<u32>>,
    /// Whether group and others may write neither the file nor a folder above it. A folder with the sticky bit (`/tmp`) is not counted:
    /// what is in it is replaced by its owner only.
    pub only_owner_writes: bool,
    /// The folders in one of which the file has to be, at any depth. Symbolic links are resolved on both sides.
    pub directories: Option<Vec<PathBuf>>,
}

/// How many of the identity rules have to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "policy-file", derive(serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Require {
    /// Each that is set.
    #[default]
    All,
    /// One of those that are set.
    Any,
}

/// What a policy is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// What the artifact is: selects the rules.
    pub kind: ArtifactKind,
    /// Its name, for messages.
    pub name: &'a str,
    /// What will be loaded.
    pub bytes: &'a [u8],
    /// What the signature covers, if that is not `bytes`: of a fat plugin, the manifest with the digests of its parts.
    pub signed: Option<&'a [u8]>,
    /// The file that the bytes were read from. Without one the rules about files do not hold.
    pub file: Option<&'a FileFacts>,
    /// The text of a minisign signature.
    pub signature: Option<&'a str>,
}

impl Default for TrustPolicy {
    fn default() -> TrustPolicy {
        TrustPolicy { native: Rules::default(), wasm: Rules { allow: true, ..Rules::default() } }
    }
}

impl TrustPolicy {
    /// The rules for a kind of artifact.
    pub fn rules(&self, kind: ArtifactKind) -> &Rules {
        match kind {
            ArtifactKind::Native => &self.native,
            ArtifactKind::Wasm | ArtifactKind::WasmText => &self.wasm,
        }
    }

    /// Applies each rule. Any thread may do so; nothing is read but what the evidence holds, and `directories` to resolve them.
    pub fn examine(&self, evidence: &Evidence<'_>) -> Verdict {
        rules::examine(self.rules(evidence.kind), evidence)
    }

    /// As [`examine`](TrustPolicy::examine), for a loader that goes on only with what is trusted.
    ///
    /// # Errors
    ///
    /// [`LoadError::Untrusted`] with each rule that does not hold, and what would satisfy it.
    pub fn check(&self, evidence: &Evidence<'_>) -> Result<Verdict, LoadError> {
        let verdict = self.examine(evidence);
        if verdict.is_trusted() {
            return Ok(verdict);
        }
        Err(LoadError::Untrusted { name: evidence.name.to_owned(), failures: verdict.failures().cloned().collect() })
    }

    /// Whether a rule of either kind is about files.
    fn asks_of_files(&self) -> bool {
        [&self.native, &self.wasm].into_iter().any(Rules::asks_of_files)
    }

    /// Whether a rule of either kind is about signatures.
    fn asks_for_signatures(&self) -> bool {
        self.native.keys.is_some() || self.wasm.keys.is_some()
    }
}

impl Rules {
    fn asks_of_files(&self) -> bool {
        self.owners.is_some() || self.only_owner_writes || self.directories.is_some()
    }
}
