//! A policy as data.

use std::path::PathBuf;

use super::{FileFacts, PublicKey, Sha256Digest};
use crate::ArtifactKind;

/// Conditions for loading artifacts.
///
/// The default allows wasm, which is sandboxed, without conditions, and denies native code, which
/// has all rights of the process.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TrustPolicy {
    /// Rules for native artifacts.
    pub native: Rules,
    /// Rules for wasm artifacts, in binary and text form.
    pub wasm: Rules,
}

/// Rules for one kind of artifact. A rule that is `None` or false is not applied; all others must
/// hold.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Rules {
    /// Allows this kind of artifact. False denies it whatever the other rules say.
    pub allow: bool,
    /// The combination of the identity rules, `sha256` and `keys`, if both are set. The other rules
    /// must hold in any case.
    pub require: Require,
    /// Digests of the allowed artifacts. An empty list allows none.
    pub sha256: Option<Vec<Sha256Digest>>,
    /// Keys, one of which must have signed the artifact. An empty list allows none.
    pub keys: Option<Vec<PublicKey>>,
    /// User ids. One of them must own the file; one of them or root must own each folder above it.
    pub owners: Option<Vec<u32>>,
    /// Requires that neither group nor others can write the file or a folder above it. Folders with
    /// the sticky bit (`/tmp`) are exempt: only the owner of an entry can replace it there.
    pub only_owner_writes: bool,
    /// Folders, one of which must contain the file at any depth. Symbolic links are resolved on
    /// both sides.
    pub directories: Option<Vec<PathBuf>>,
}

/// Combination of the identity rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "policy-file", derive(serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Require {
    /// Each identity rule that is set must hold.
    #[default]
    All,
    /// One of the identity rules that are set is enough.
    Any,
}

/// The facts about one artifact that a policy judges.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The kind of artifact, which selects the rules.
    pub kind: ArtifactKind,
    /// The artifact's name, for messages.
    pub name: &'a str,
    /// The bytes that will be loaded.
    pub bytes: &'a [u8],
    /// The bytes covered by the signature, if they are not `bytes`: for a fat plugin, the manifest
    /// with the digests of its parts.
    pub signed: Option<&'a [u8]>,
    /// The file that the bytes were read from. Without one, rules about files are violated.
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
            ArtifactKind::Native | ArtifactKind::Linked => &self.native,
            ArtifactKind::Wasm | ArtifactKind::WasmText => &self.wasm,
        }
    }

    /// True if a rule of either kind needs facts about the file.
    pub(super) fn asks_of_files(&self) -> bool {
        [&self.native, &self.wasm].into_iter().any(Rules::asks_of_files)
    }

    /// True if a rule of either kind needs a signature.
    pub(super) fn asks_for_signatures(&self) -> bool {
        self.native.keys.is_some() || self.wasm.keys.is_some()
    }
}

impl Rules {
    /// True if a rule is about the artifact's bytes.
    #[cfg(feature = "native")]
    pub(crate) fn ask_of_bytes(&self) -> bool {
        self.sha256.is_some() || self.keys.is_some()
    }

    fn asks_of_files(&self) -> bool {
        self.owners.is_some() || self.only_owner_writes || self.directories.is_some()
    }
}
