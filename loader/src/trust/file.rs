//! Files, opened once: their bytes, and the facts that the file system has about them.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::TrustPolicy;
use super::artifact::{self, Artifact, open};
use crate::LoadError;
use crate::access::Access;

/// Size limit of a signature file in bytes. A signature has four lines, one of which is a comment
/// of any length.
const SIGNATURE_LIMIT: u64 = 64 * 1024;

/// Owner, mode and real path of a file and of the folders above it, read from an open descriptor.
#[derive(Clone, Debug)]
pub struct FileFacts {
    pub(super) file: Node,
    /// From the root down to the folder that holds the file.
    pub(super) folders: Vec<Node>,
}

/// A file or a folder.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The absolute path, without symbolic links.
    pub path: PathBuf,
    /// Owner and mode; `None` on systems without them.
    pub access: Option<Access>,
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
        let failed = |source| LoadError::Io { path: path.to_owned(), source };
        let file = open(path).map_err(failed)?;
        let facts = if self.asks_of_files() { Some(FileFacts::of(&file, path).map_err(failed)?) } else { None };
        let bytes = artifact::read(file, path)?;
        let signature = if self.asks_for_signatures() { read_signature(path, signature)? } else { None };
        Ok(Artifact { name: path.display().to_string(), bytes, file: facts, signature })
    }
}

impl FileFacts {
    /// Reads owner and mode from an open descriptor, and resolves the file's path.
    ///
    /// # Errors
    ///
    /// The system's error, or that the path changed in the meantime.
    pub(super) fn of(file: &File, path: &Path) -> io::Result<FileFacts> {
        let opened = file.metadata()?;
        let real = path.canonicalize()?;
        // From the root down: once a folder is known to be writable by trusted users only, its
        // entries cannot be replaced while the next one is checked.
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

    /// The absolute path of the file, without symbolic links.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// The file if none of these users owns it, and the folders that none of them and not root owns.
    pub(super) fn owned_by_others<'a>(&'a self, owners: &'a [u32]) -> impl Iterator<Item = &'a Node> {
        let others = |node: &Node, root_may: bool| {
            node.access.is_none_or(|access| !(owners.contains(&access.uid) || root_may && access.uid == 0))
        };
        let folders = self.folders.iter().filter(move |folder| others(folder, true));
        Some(&self.file).filter(|file| others(file, false)).into_iter().chain(folders)
    }

    /// The file if group or others can write it, and the folders whose entries they can replace.
    pub(super) fn written_by_others(&self) -> impl Iterator<Item = &Node> {
        let folders = self.folders.iter().filter(|folder| folder.access.is_none_or(Access::others_replace));
        Some(&self.file).filter(|file| file.access.is_none_or(Access::others_write)).into_iter().chain(folders)
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
