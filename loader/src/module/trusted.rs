//! Loading under a trust policy: its rules apply before any part of an artifact is parsed.

use std::path::Path;

use super::input::Input;
use super::{Loader, Module};
use crate::artifact::ArtifactKind;
use crate::error::LoadError;
use crate::trust::{Artifact, Evidence, TrustPolicy};

impl Loader {
    /// Like [`load_file`](Loader::load_file), with a minisign signature from another path than
    /// `FILE.minisig`.
    ///
    /// # Errors
    ///
    /// See [`LoadError`]; [`LoadError::Io`] also if the signature cannot be read.
    pub fn load_file_signed(&self, path: impl AsRef<Path>, signature: impl AsRef<Path>) -> Result<Module, LoadError> {
        match &self.0.trust {
            Some(_) => self.load_artifact(&self.read_to_load(path.as_ref(), Some(signature.as_ref()))?),
            None => self.load_file(path),
        }
    }

    /// Like [`load_bytes`](Loader::load_bytes), with the text of a detached minisign signature over
    /// the bytes.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn load_bytes_signed(&self, name: &str, bytes: &[u8], signature: &str) -> Result<Module, LoadError> {
        self.check(name, bytes, Some(signature))?;
        self.load_trusted(Input::of_bytes(name, bytes))
    }

    /// The policy that this loader applies, if it has one.
    pub fn trust_policy(&self) -> Option<&TrustPolicy> {
        self.0.trust.as_deref()
    }

    /// Applies the policy, if any, to an artifact that was read from a file.
    pub(super) fn check_artifact(&self, artifact: &Artifact) -> Result<(), LoadError> {
        let Some(policy) = &self.0.trust else { return Ok(()) };
        let mut evidence = artifact.evidence()?;
        add_inner_signature(&mut evidence);
        policy.check(&evidence)?;
        Ok(())
    }

    /// Applies the policy, if any, to bytes from memory.
    pub(super) fn check(&self, name: &str, bytes: &[u8], signature: Option<&str>) -> Result<(), LoadError> {
        let Some(policy) = &self.0.trust else { return Ok(()) };
        let kind = ArtifactKind::of(bytes).map_err(|what| LoadError::NotAPlugin { name: name.to_owned(), what })?;
        let mut evidence = Evidence { kind, name, bytes, signed: None, file: None, signature };
        add_inner_signature(&mut evidence);
        policy.check(&evidence)?;
        Ok(())
    }
}

/// Uses the signature inside a fat plugin if none stands beside the file: it covers the wasm module
/// as well.
pub(crate) fn add_inner_signature(evidence: &mut Evidence<'_>) {
    if evidence.kind == ArtifactKind::Wasm
        && evidence.signature.is_none()
        && let Ok(Some(bundle)) = crate::bundle::Bundle::read(evidence.bytes)
        && let Some(signature) = bundle.signature()
    {
        evidence.signature = Some(signature);
        evidence.signed = Some(bundle.signed_bytes());
    }
}
