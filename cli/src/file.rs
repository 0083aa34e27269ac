//! Writes files atomically.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use tempfile::NamedTempFile;

use crate::exit::usage;

/// A written file that has not been renamed into place. Dropping it deletes it.
pub struct Pending {
    file: NamedTempFile,
    path: PathBuf,
}

impl Pending {
    /// Writes bytes to a temporary file in the same directory.
    pub fn write(path: &Path, bytes: &[u8]) -> Result<Pending> {
        let failed = |error: std::io::Error| usage(format!("{}: cannot be written: {error}", path.display()));
        // Follows a link, to replace its target.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let existing = std::fs::metadata(&path).ok();
        if existing.as_ref().is_some_and(|existing| !existing.is_file()) {
            return Err(usage(format!("{}: is not a regular file; use another path", path.display())));
        }
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".dynvm-");
        #[cfg(unix)]
        {
            // The permissions of any new file, subject to the umask.
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let mut file = builder.tempfile_in(dir).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        if let Some(existing) = existing {
            file.as_file().set_permissions(existing.permissions()).map_err(failed)?;
        }
        // Sync before the rename: otherwise a crash of the machine can leave an empty file.
        file.as_file().sync_all().map_err(failed)?;
        Ok(Pending { file, path })
    }

    /// Renames the file into place, replacing an existing one.
    pub fn commit(self) -> Result<()> {
        let Pending { file, path } = self;
        let named = file.persist(&path);
        named.map(|_| ()).map_err(|error| usage(format!("{}: cannot be written: {}", path.display(), error.error)))
    }
}

/// Whether two paths currently refer to the same file.
pub fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}
