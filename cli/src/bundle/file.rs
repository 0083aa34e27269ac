//! Files that appear whole or not at all.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use tempfile::NamedTempFile;

use crate::exit::usage;

/// A file that is written, but not yet under its name. Gone if it is dropped.
pub struct Pending {
    file: NamedTempFile,
    path: PathBuf,
}

impl Pending {
    /// Writes bytes to a temporary file beside the path, which it will replace.
    pub fn write(path: &Path, bytes: &[u8]) -> Result<Pending> {
        let failed = |error: std::io::Error| usage(format!("{}: cannot be written: {error}", path.display()));
        // Through a link, to the file that it names.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let existing = std::fs::metadata(&path).ok();
        if existing.as_ref().is_some_and(|existing| !existing.is_file()) {
            return Err(usage(format!("{}: is not a file: name another one to write", path.display())));
        }
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".dynvm-bundle-");
        #[cfg(unix)]
        {
            // As any new file: what the process's umask leaves.
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let mut file = builder.tempfile_in(dir).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        if let Some(existing) = existing {
            file.as_file().set_permissions(existing.permissions()).map_err(failed)?;
        }
        // On disk before the name is: else a crash of the machine can leave an empty file.
        file.as_file().sync_all().map_err(failed)?;
        Ok(Pending { file, path })
    }

    /// Gives it its name, in place of what had it.
    pub fn commit(self) -> Result<()> {
        let Pending { file, path } = self;
        let named = file.persist(&path);
        named.map(|_| ()).map_err(|error| usage(format!("{}: cannot be written: {}", path.display(), error.error)))
    }
}

/// Whether two paths name the same file, now.
pub fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}
