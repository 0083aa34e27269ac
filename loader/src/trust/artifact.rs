//! Artifacts read from files: once, and only as far as the first bytes if these are not a plugin's.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

#[cfg(feature = "native")]
use dynvm_image::Original;

use super::file::open;
use super::{Evidence, FileFacts, TrustPolicy};
use crate::{ArtifactKind, LoadError};

/// Size limit of an artifact read from a file, in bytes.
const MAX_SIZE: u64 = 1 << 30;

/// Size limit of a signature file in bytes. A signature has four lines, one of which is a comment
/// of any length.
const SIGNATURE_LIMIT: u64 = 64 * 1024;

/// Number of bytes that decide whether a file can be a plugin. A text must have its `(module`
/// within them.
const HEAD: u64 = 64 * 1024;

/// An artifact read from a file, with everything that a loader's trust policy needs to know about
/// it.
///
/// Loading and inspecting one `Artifact` guarantees that both are about the same bytes.
#[derive(Debug)]
#[non_exhaustive]
pub struct Artifact {
    /// The path, as passed to the reading function. Names the artifact in messages.
    pub name: String,
    /// The content of the file.
    pub bytes: Vec<u8>,
    /// Facts about the file; `None` if no rule needs them.
    pub file: Option<FileFacts>,
    /// The signature; `None` if no rule needs it, or if there is none.
    pub signature: Option<String>,
    /// The file's absolute path, without symbolic links: where it looks for libraries of its own.
    pub(crate) path: Option<PathBuf>,
    /// The file, if it is a native plugin's.
    #[cfg(feature = "native")]
    pub(crate) original: Option<Original>,
}

impl Artifact {
    /// Reads a file for a loader without a trust policy. Use
    /// [`Loader::read_file`](crate::Loader::read_file) for one with a policy.
    ///
    /// # Errors
    ///
    /// [`LoadError::Io`]: the file cannot be read, is not a regular file, or is larger than 1 GiB.
    /// [`LoadError::NotAPlugin`]: the first bytes are not a plugin's; the rest has not been read.
    pub fn read(path: impl AsRef<Path>) -> Result<Artifact, LoadError> {
        Artifact::read_for(None, path.as_ref(), None, Extent::Whole)
    }

    /// Reads a file for a loader, with what the rules of its policy need to know about it.
    pub(crate) fn read_for(
        policy: Option<&TrustPolicy>,
        path: &Path,
        signature: Option<&Path>,
        extent: Extent,
    ) -> Result<Artifact, LoadError> {
        let failed = |source| LoadError::Io { path: path.to_owned(), source };
        let file = open(path).map_err(failed)?;
        let asks_of_files = policy.is_some_and(TrustPolicy::asks_of_files);
        let facts = if asks_of_files { Some(FileFacts::of(&file, path).map_err(failed)?) } else { None };
        #[cfg(feature = "native")]
        let original = Original::new(file.try_clone().map_err(failed)?).map_err(failed)?;
        // The digest of what was written just now is not left for later.
        #[cfg(feature = "native")]
        let extent = if original.is_settled() { extent } else { Extent::Whole };
        let bytes = read(file, path, extent)?;
        let asks_for_signatures = policy.is_some_and(TrustPolicy::asks_for_signatures);
        let signature = if asks_for_signatures { read_signature(path, signature)? } else { None };
        let real = match &facts {
            Some(facts) => facts.path().to_owned(),
            None => path.canonicalize().map_err(failed)?,
        };
        Ok(Artifact {
            name: path.display().to_string(),
            #[cfg(feature = "native")]
            original: Some(original).filter(|_| ArtifactKind::of(&bytes) == Ok(ArtifactKind::Native)),
            bytes,
            file: facts,
            signature,
            path: Some(real),
        })
    }

    /// The evidence for a trust policy.
    ///
    /// # Errors
    ///
    /// [`LoadError::NotAPlugin`]: the artifact is of no kind that has rules.
    pub fn evidence(&self) -> Result<Evidence<'_>, LoadError> {
        let kind =
            ArtifactKind::of(&self.bytes).map_err(|what| LoadError::NotAPlugin { name: self.name.clone(), what })?;
        Ok(Evidence {
            kind,
            name: &self.name,
            bytes: &self.bytes,
            signed: None,
            file: self.file.as_ref(),
            signature: self.signature.as_deref(),
        })
    }
}

/// Reads an open file that may be a plugin.
///
/// # Errors
///
/// As [`Artifact::read`].
fn read(mut file: File, path: &Path, extent: Extent) -> Result<Vec<u8>, LoadError> {
    let failed = |source| LoadError::Io { path: path.to_owned(), source };
    let refused = |what: &str| failed(io::Error::other(what.to_owned()));
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(refused("it is a directory; name the artifact in it"));
    }
    if !metadata.is_file() {
        return Err(refused("it is a pipe or a device, and an artifact is read from a regular file; copy it to one"));
    }
    if metadata.len() > MAX_SIZE {
        return Err(refused(&format!("it has {} bytes, and no plugin has more than 1 GiB", metadata.len())));
    }
    let mut bytes = Vec::with_capacity(metadata.len().min(HEAD) as usize);
    file.by_ref().take(HEAD).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 == HEAD {
        // The first bytes may end inside a character of a text.
        let text = match std::str::from_utf8(&bytes) {
            Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
            _ => &bytes,
        };
        let kind =
            ArtifactKind::of(text).map_err(|what| LoadError::NotAPlugin { name: path.display().to_string(), what })?;
        // The file may have grown since its size was read.
        let rest = extent.of(kind, &bytes).min(MAX_SIZE + 1).saturating_sub(HEAD);
        bytes.reserve_exact(rest.min(metadata.len().saturating_sub(HEAD)) as usize);
        file.take(rest).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MAX_SIZE {
            return Err(refused("it grew to more than 1 GiB while it was being read"));
        }
    }
    Ok(bytes)
}

/// How much of a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    Whole,
    /// Of a native plugin, as far as it is mapped: without its debug information, often a tenth.
    #[cfg(feature = "native")]
    Mapped,
}

impl Extent {
    /// The size of the part, by the file's first bytes.
    fn of(self, kind: ArtifactKind, head: &[u8]) -> u64 {
        #[cfg(feature = "native")]
        if (self, kind) == (Extent::Mapped, ArtifactKind::Native) {
            return dynvm_image::mapped_size(head).unwrap_or(u64::MAX);
        }
        let _ = (kind, head);
        u64::MAX
    }
}

impl TrustPolicy {
    /// Reads a file, with what the rules need to know about it. The signature is read from
    /// `signature`, or else from `FILE.minisig` beside the file.
    ///
    /// # Errors
    ///
    /// [`LoadError::Io`]: the file, or an existing signature, cannot be read.
    /// [`LoadError::NotAPlugin`]: the first bytes are not a plugin's; the rest has not been read.
    pub fn read_file(&self, path: &Path, signature: Option<&Path>) -> Result<Artifact, LoadError> {
        Artifact::read_for(Some(self), path, signature, Extent::Whole)
    }
}

fn read_signature(artifact: &Path, signature: Option<&Path>) -> Result<Option<String>, LoadError> {
    let beside = || {
        let mut path = artifact.as_os_str().to_owned();
        path.push(".minisig");
        PathBuf::from(path)
    };
    let path = signature.map_or_else(beside, Path::to_owned);
    let read = || -> io::Result<String> {
        let mut bytes = Vec::new();
        open(&path)?.take(SIGNATURE_LIMIT).read_to_end(&mut bytes)?;
        // Bytes that are not text cannot be a signature, and are rejected as one later.
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    match read() {
        Ok(text) => Ok(Some(text)),
        // An explicitly named signature must exist.
        Err(error) if error.kind() == io::ErrorKind::NotFound && signature.is_none() => Ok(None),
        Err(source) => Err(LoadError::Io { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_path(path: &Path) -> Result<Vec<u8>, LoadError> {
        read(open(path).unwrap(), path, Extent::Whole)
    }

    #[test]
    fn what_is_no_regular_file_or_too_large_is_refused_unread() {
        for (path, part) in [("/dev/zero", "a device"), ("/tmp", "a directory"), ("/proc/self/fd", "a directory")] {
            let error = crate::with_causes(&read_path(Path::new(path)).unwrap_err());
            assert!(error.contains(part), "{path}: {error}");
        }
        let dir = tempfile::tempdir().unwrap();
        let sparse = dir.path().join("sparse.so");
        File::create(&sparse).unwrap().set_len(MAX_SIZE + 1).unwrap();
        assert!(crate::with_causes(&read_path(&sparse).unwrap_err()).contains("1 GiB"));
        // Reading it would take a GiB of memory and seconds.
        File::create(&sparse).unwrap().set_len(MAX_SIZE).unwrap();
        let start = std::time::Instant::now();
        assert!(matches!(read_path(&sparse), Err(LoadError::NotAPlugin { .. })));
        assert!(start.elapsed() < std::time::Duration::from_millis(500), "{:?}", start.elapsed());
    }

    #[test]
    fn a_long_artifact_is_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("long.wat");
        // A character of two bytes lies across the end of the head.
        let text = format!("(module (;{}é;){})", "x".repeat(HEAD as usize - 11), " ".repeat(HEAD as usize));
        assert!(!text.is_char_boundary(HEAD as usize));
        std::fs::write(&path, &text).unwrap();
        assert_eq!(read_path(&path).unwrap(), text.as_bytes());
    }
}
