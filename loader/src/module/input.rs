//! What is loaded.

use std::path::Path;

#[cfg(feature = "native")]
use dynvm_image::Original;

use crate::artifact::{Digest, sha256};
use crate::trust::{Artifact, FileFacts};

/// An artifact that has passed the policy, or whose loader has none.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) name: &'a str,
    /// Of a native plugin's file, at least what is mapped of it.
    pub(super) bytes: &'a [u8],
    pub(super) file: Option<&'a FileFacts>,
    pub(super) path: Option<&'a Path>,
    #[cfg(feature = "native")]
    pub(super) original: Option<&'a Original>,
}

impl<'a> Input<'a> {
    pub(super) fn of_file(artifact: &'a Artifact) -> Input<'a> {
        Input {
            name: &artifact.name,
            bytes: &artifact.bytes,
            file: artifact.file.as_ref(),
            path: artifact.path.as_deref(),
            #[cfg(feature = "native")]
            original: artifact.original.as_ref(),
        }
    }

    pub(super) fn of_bytes(name: &'a str, bytes: &'a [u8]) -> Input<'a> {
        Input {
            name,
            bytes,
            file: None,
            path: None,
            #[cfg(feature = "native")]
            original: None,
        }
    }

    /// The size of the artifact.
    pub(super) fn size(&self) -> usize {
        #[cfg(feature = "native")]
        if let Some(original) = self.read_in_part() {
            return original.size() as usize;
        }
        self.bytes.len()
    }

    pub(super) fn digest(&self) -> Digest {
        #[cfg(feature = "native")]
        if let Some(original) = self.read_in_part() {
            let original = original.clone();
            return Digest::later(move || original.read());
        }
        Digest::known(sha256(self.bytes))
    }

    /// The file, if it was not read whole.
    #[cfg(feature = "native")]
    fn read_in_part(&self) -> Option<&'a Original> {
        self.original.filter(|original| original.size() > self.bytes.len() as u64)
    }
}
