//! A file, opened once: its bytes, and what the file system says of it.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::{Evidence, TrustPolicy};
use crate::access::Access;
use crate::{ArtifactKind, LoadError};

/// A signature has four lines, of which one is a comment of the signer's.
const SIGNATURE_LIMIT: u64 = 64 * 1024;

/// An artifact that was read from a file, with all that a policy asks about it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Artifact {
    /// Its name: the path as given.
    pub name: String,
    /// The file's content.
    pub bytes: Vec<u8>,
    /// What the file system says of it; `None` if no rule asks.
    pub file: Option<FileFacts>,
    /// Its signature, if a rule asks and there is one.
    pub signature: Option<String>,
}

/// What the file system says of a file that was open when it was asked.
#[derive(Clone, Debug)]
pub struct FileFacts {
    pub(super) file: Node,
    /// From the root down to the one that holds the file.
    pub(super) folders: Vec<Node>,
}

/// A file or a folder.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Absolute, without symbolic links.
    pub path: PathBuf,
    /// Owner and mode; `None` on systems that have neither.
    pub access: Option<Access>,
}

impl TrustPolicy {
    /// Reads a file and what the rules ask about it. The signature is sought beside the file, as `FILE.minisig`, unless it is elsewhere.
    ///
    /// # Errors
    ///
    /// [`LoadError::Io`]: the file, or a signature that exists, cannot be read.
    pub fn read_file(&self, path: &Path, signature: Option<&Path>) -> Result<Artifact, LoadError> {
        let failed = |source| LoadError::Io { path: path.to_owned(), source };
        let (bytes, file) = if self.asks_of_files() {
            let (bytes, facts) = FileFacts::read(path).map_err(failed)?;
            (bytes, Some(facts))
        } else {
            (std::fs::read(path).map_err(failed)?, None)
        };
        let signature = if self.asks_for_signatures() { read_signature(path, signature)? } else { None };
        Ok(Artifact { name: path.display().to_string(), bytes, file, signature })
    }
}

impl Artifact {
    /// What a policy is asked about.
    ///
    /// # Errors
    ///
    /// [`LoadError::NotAPlugin`]: it is of no kind that there are rules for.
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

impl FileFacts {
    /// Opens a file, asks the descriptor for owner and mode, finds where the file really is, and reads it.
    ///
    /// # Errors
    ///
    /// What the system said; or it is no regular file; or its path changed meanwhile.
    pub fn read(path: &Path) -> io::Result<(Vec<u8>, FileFacts)> {
        let mut file = open(path)?;
        let opened = file.metadata()?;
        if !opened.is_file() {
            let what = if opened.is_dir() { "it is a directory" } else { "it is a pipe or a device" };
            return Err(io::Error::other(format!("{what}, and the trust policy has rules about files")));
        }
        let real = path.canonicalize()?;
        // From the root down: a folder that only trusted users can write keeps what was seen in it, so none of them can be exchanged
        // unseen for another before the last is reached.
        let mut folders = Vec::new();
        for folder in real.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
            let metadata = folder.symlink_metadata()?;
            if !metadata.is_dir() {
                return Err(moved());
            }
            folders.push(Node::new(folder, &metadata));
        }
        if !same_file(&opened, &real.symlink_metadata()?) {
            return Err(moved());
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok((bytes, FileFacts { file: Node::new(&real, &opened), folders }))
    }

    /// Where the file is: absolute, without symbolic links.
    pub fn path(&self) -> &Path {
        &self.file.path
    }
}

impl Node {
    fn new(path: &Path, metadata: &Metadata) -> Node {
        Node { path: path.to_owned(), access: Access::of(metadata) }
    }
}

fn moved() -> io::Error {
    io::Error::other("the file was moved or replaced while it was being opened; try again")
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
        // What is not text is no signature either, and is refused as such.
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    match read() {
        Ok(text) => Ok(Some(text)),
        // One that was named has to be there.
        Err(error) if error.kind() == io::ErrorKind::NotFound && signature.is_none() => Ok(None),
        Err(source) => Err(LoadError::Io { path, source }),
    }
}

/// Opens a file for reading, without waiting for a writer if it is a pipe.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    }
    options.open(path)
}

fn same_file(a: &Metadata, b: &Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        (a.dev(), a.ino()) == (b.dev(), b.ino())
    }
    #[cfg(not(unix))]
    {
        (a.len(), a.modified().ok()) == (b.len(), b.modified().ok())
    }
}
