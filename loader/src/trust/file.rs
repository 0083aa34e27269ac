//! Files, opened once: their bytes, and the facts that the file system has about them.

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use crate::access::Access;

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

/// Opens a file for reading, without blocking if it is a pipe.
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
