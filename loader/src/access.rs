//! Owner and permission bits of files and folders, and the users that these allow to change them.

use std::fs::Metadata;

/// Owner and permission bits of one file or folder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    pub(crate) uid: u32,
    pub(crate) mode: u32,
}

impl Access {
    /// Reads owner and mode. `None` on systems without them.
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

    /// True if group or others may write. This covers access control lists too: the group's bits
    /// are their mask.
    pub(crate) fn others_write(self) -> bool {
        self.mode & 0o022 != 0
    }

    /// True if others may write this folder and replace its entries. The sticky bit prevents the
    /// replacement.
    pub(crate) fn others_replace(self) -> bool {
        self.others_write() && self.mode & 0o1000 == 0
    }
}
