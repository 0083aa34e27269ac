//! Who may change a file or a folder, by owner and mode.

use std::fs::Metadata;

/// Owner and mode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    pub(crate) uid: u32,
    pub(crate) mode: u32,
}

impl Access {
    /// Owner and mode, on systems that have them.
    pub(crate) fn of(metadata: &Metadata) -> Option<Access> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            Some(Access { uid: metadata.uid(), mode: metadata.mode() & 0o7777 })
        }
        #[cfg(not(unix))]
        {
            let _ = metadata;
            None
        }
    }

    /// Whether group or others may write. Entries of an access control list show here too: the group's bits are
    /// their mask.
    pub(crate) fn others_write(self) -> bool {
        self.mode & 0o022 != 0
    }

    /// Whether others may write and exchange what is in this folder.
    pub(crate) fn others_replace(self) -> bool {
        self.others_write() && self.mode & 0o1000 == 0
    }
}
