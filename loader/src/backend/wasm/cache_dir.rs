//! The directory of the code cache: opened once, and used only if no other user can change its
//! content.

use std::path::PathBuf;

/// An open directory that only this user or root can write.
pub(super) struct CacheDir {
    path: PathBuf,
    #[cfg(unix)]
    dir: std::fs::File,
}

#[cfg(not(unix))]
mod other {
    use std::path::Path;

    use super::CacheDir;
    use crate::error::LoadError;

    impl CacheDir {
        pub(crate) fn open(path: &Path) -> Result<CacheDir, LoadError> {
            let what = "this system does not tell who may write a directory; leave Options::cache_dir out".to_owned();
            Err(LoadError::CodeCache { dir: path.to_owned(), what, source: None })
        }

        pub(crate) fn check(&self) -> Result<(), LoadError> {
            CacheDir::open(&self.path).map(drop)
        }

        pub(crate) fn read(&self, _: &str) -> Option<Vec<u8>> {
            None
        }

        pub(crate) fn write(&self, _: &str, _: &[u8]) -> std::io::Result<()> {
            Err(std::io::ErrorKind::Unsupported.into())
        }
    }
}

#[cfg(unix)]
mod unix {
    use std::fs::{DirBuilder, File};
    use std::io::{self, Read as _, Write as _};
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
    use std::path::{Path, PathBuf};

    use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, renameat, unlinkat};

    use super::CacheDir;
    use crate::access::Access;
    use crate::error::LoadError;

    /// On Linux. `O_PATH`, because a folder above may be searchable but not readable.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

    /// For entries: no symbolic links, and no blocking on a pipe.
    const ENTRY: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

    const NEW: OFlags =
        OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

    impl CacheDir {
        /// Opens a directory, and creates it if needed.
        ///
        /// # Errors
        ///
        /// [`LoadError::CodeCache`]: another user can write it, or replace it or a folder above it.
        pub(crate) fn open(path: &Path) -> Result<CacheDir, LoadError> {
            let failed = |what: &str| {
                let (dir, what) = (path.to_owned(), format!("{what}; name another directory, or mend that"));
                move |source: io::Error| LoadError::CodeCache { dir, what, source: Some(source) }
            };
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(failed("the directory cannot be made"))?;
            let real = path.canonicalize().map_err(failed("the directory cannot be found"))?;
            // From the root down, each relative to the descriptor of its parent, which no other
            // user can replace.
            let mut folder = File::from(
                openat(CWD, "/", FOLDER, Mode::empty())
                    .map_err(io::Error::from)
                    .map_err(failed("/ cannot be opened"))?,
            );
            let mut at = PathBuf::from("/");
            for name in real.components().skip(1) {
                check(path, &at, &folder, Access::others_replace)?;
                at.push(name);
                let next = openat(&folder, name.as_os_str(), FOLDER, Mode::empty()).map_err(io::Error::from);
                folder = File::from(next.map_err(failed(&format!("{} cannot be opened", at.display())))?);
            }
            check(path, &at, &folder, Access::others_write)?;
            Ok(CacheDir { path: path.to_owned(), dir: folder })
        }

        /// Checks that only this user can still write the directory.
        pub(crate) fn check(&self) -> Result<(), LoadError> {
            check(&self.path, &self.path, &self.dir, Access::others_write)
        }

        /// The content of an entry that this user wrote. Any other file counts as absent.
        pub(crate) fn read(&self, name: &str) -> Option<Vec<u8>> {
            let mut file = File::from(openat(&self.dir, name, ENTRY, Mode::empty()).ok()?);
            let metadata = file.metadata().ok()?;
            let access = Access::of(&metadata)?;
            // A file with a second link was put here by another user, who could link to a file of
            // this user.
            if !metadata.is_file() || metadata.nlink() != 1 || access.uid != user() || access.others_write() {
                return None;
            }
            let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).ok()?);
            file.read_to_end(&mut bytes).ok()?;
            Some(bytes)
        }

        /// Writes an entry. It gets its name when it is complete.
        pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
            let mut random = [0; 8];
            getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
            let temporary = format!(".{:016x}.tmp", u64::from_ne_bytes(random));
            let mut file = File::from(openat(&self.dir, &temporary, NEW, Mode::RUSR | Mode::WUSR)?);
            let written = file.write_all(bytes).and_then(|()| Ok(renameat(&self.dir, &temporary, &self.dir, name)?));
            if written.is_err() {
                let _ = unlinkat(&self.dir, &temporary, AtFlags::empty());
            }
            written
        }
    }

    /// Checks the directory, or a folder above it.
    fn check(dir: &Path, at: &Path, folder: &File, exposed: fn(Access) -> bool) -> Result<(), LoadError> {
        let refused = |what: String, source| LoadError::CodeCache { dir: dir.to_owned(), what, source };
        let access = folder.metadata().map(|metadata| Access::of(&metadata));
        let access = access.map_err(|error| refused(format!("{}: unknown owner", at.display()), Some(error)))?;
        let (at, user) = (at.display(), user());
        match access {
            Some(access) if access.uid != 0 && access.uid != user => {
                let uid = access.uid;
                let what = format!(
                    "{at} belongs to uid {uid}, and what is in a code cache is executed; chown it to uid {user}, \
                     or name another directory"
                );
                Err(refused(what, None))
            }
            Some(access) if exposed(access) => {
                let mode = access.mode;
                let what = format!(
                    "users other than the owner can write {at} (mode {mode:04o}), and what is in a code cache is executed; \
                     remove what is in the cache and chmod go-w {at}, or name another directory"
                );
                Err(refused(what, None))
            }
            Some(_) => Ok(()),
            None => Err(refused(format!("{at}: unknown owner"), None)),
        }
    }

    /// The effective user of the process.
    fn user() -> u32 {
        // SAFETY: takes nothing and cannot fail.
        unsafe { libc::geteuid() }
    }
}
