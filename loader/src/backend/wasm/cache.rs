//! Compiled code on disk, so that a plugin is compiled once and not at each start.
//!
//! wasmtime's own cache crate reads and unpacks an entry into memory; here an entry is mapped as it is, which takes a tenth of the time.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use wasmtime::{Engine, Module, Result};

/// Takes compiled code from the cache, or compiles and puts it there. A cache that cannot be written is no error.
pub(super) fn compile(engine: &Engine, dir: &Path, bytes: &[u8]) -> Result<Module> {
    if !prepare(dir) {
        return Module::new(engine, bytes);
    }
    let path = dir.join(format!("{}.cwasm", key(engine, bytes)));
    if path.exists() {
        // SAFETY: the directory belongs to this user and nobody else may write there (`prepare`), so the file is what `store` put
        // there: complete, since it was renamed into place, and unchanged, since entries are never written again. wasmtime itself
        // refuses code of another version or of other settings.
        if let Ok(module) = unsafe { Module::deserialize_file(engine, &path) } {
            return Ok(module);
        }
    }
    let module = Module::new(engine, bytes)?;
    // The next start compiles again if this fails.
    let _ = store(dir, &path, &module);
    Ok(module)
}

/// An entry's name: a digest of the module and of all that decides what it compiles to.
fn key(engine: &Engine, bytes: &[u8]) -> String {
    use std::hash::{Hash as _, Hasher};

    /// Feeds what is hashed to the digest.
    struct Feed(Sha256);
    impl Hasher for Feed {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }

        fn finish(&self) -> u64 {
            0
        }
    }
    let mut feed = Feed(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut feed);
    feed.0.update(bytes);
    feed.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn store(dir: &Path, path: &Path, module: &Module) -> Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(&module.serialize()?)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Makes the directory, and tells whether only its owner may write there.
fn prepare(dir: &Path) -> bool {
    if fs::create_dir_all(dir).is_err() {
        return false;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        let Ok(metadata) = fs::metadata(dir) else { return false };
        // Owner: this process's user, told by a file that it makes.
        let Ok(probe) = tempfile::NamedTempFile::new_in(dir) else { return false };
        let Ok(mine) = probe.as_file().metadata() else { return false };
        if metadata.uid() != mine.uid() {
            return false;
        }
        if metadata.mode() & 0o022 != 0 {
            return fs::set_permissions(dir, fs::Permissions::from_mode(metadata.mode() & 0o755)).is_ok();
        }
    }
    true
}
