//! A file, opened once: its bytes, and what the file system says of it.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::TrustPolicy;
use super::artifact::{self, Artifact, open};
use crate::LoadError;
use crate::access::Access;

/// A signature has four lines, of which one is a comment of the signer's.
const SIGNATURE_LIMIT: u64 = 64 * 1024;

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
    /// [`LoadError::Io`]: the file, or a signature that exists, cannot be read. [`LoadError::NotAPlugin`]: its first bytes are those of
    /// no plugin; the rest has not been read.
    pub fn read_file(&self, path: &Path, signature: Option<&Path>) -> Result<Artifact, LoadError> {
        let failed = |source| LoadError::Io { path: path.to_owned(), source };
        let file = open(path).map_err(failed)?;
        let facts = if self.asks_of_files() { Some(FileFacts::of(&file, path).map_err(failed)?) } else { None };
        let bytes = artifact::read(file, path)?;
        let signature = if self.asks_for_signatures() { read_signature(path, signature)? } else { None };
        Ok(Artifact { name: path.display().to_string(), bytes, file: facts, signature })
    }
}

impl FileFacts {
    /// Asks the descriptor of an open file for owner and mode, and finds where the file really is.
    ///
    /// # Errors
    ///
    /// What the system said; or the path changed meanwhile.
    fn of(file: &File, path: &Path) -> io::Result<FileFacts> {
        let opened = file.metadata()?;
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
        Ok(FileFacts { file: Node::new(&real, &opened), folders })
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
