//! Cache of compiled code on disk, so that a plugin is compiled once and not at each start.
//!
//! An entry is native code. Its file is read once, from a checked descriptor, and wasmtime gets a
//! copy of the bytes that match the digest: later changes of the file have no effect.

use sha2::{Digest as _, Sha256};
use wasmtime::{Engine, Module, Result};

use super::cache_dir::CacheDir;

/// First bytes of an entry; the digest of name and code follows.
const MAGIC: &[u8; 8] = b"dvmcode1";

const DIGEST: usize = 32;

/// Takes compiled code from the cache, or compiles the module and stores the code. A cache that
/// cannot be written is not an error.
pub(super) fn compile(engine: &Engine, dir: &CacheDir, bytes: &[u8]) -> Result<Module> {
    let name = format!("{}.cwasm", key(engine, bytes));
    if let Some(entry) = dir.read(&name)
        && let Some(code) = open(&name, &entry)
        // SAFETY: only this user or root can write the directory and the file (`CacheDir`), so the
        // code comes from `seal`; the digest shows that it is complete and stored under its own name.
        // wasmtime itself rejects code of another version or with other settings.
        && let Ok(module) = unsafe { Module::deserialize(engine, code) }
    {
        return Ok(module);
    }
    let module = Module::new(engine, bytes)?;
    // If writing fails, the next start compiles again.
    let _ = dir.write(&name, &seal(&name, &module.serialize()?));
    Ok(module)
}

/// The name of an entry: a digest of the module and of everything that decides the result of
/// compiling it.
fn key(engine: &Engine, bytes: &[u8]) -> String {
    use std::hash::{Hash as _, Hasher};

    /// Lets values with a `Hash` implementation feed the digest.
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

/// The digest of an entry, over its name and code.
fn digest(name: &str, code: &[u8]) -> [u8; DIGEST] {
    // All names have the same length, so no other pair of name and code gives the same input.
    Sha256::new().chain_update(name).chain_update(code).finalize().into()
}

fn seal(name: &str, code: &[u8]) -> Vec<u8> {
    [MAGIC, digest(name, code).as_slice(), code].concat()
}

/// The code of an entry, if the entry is complete and was written under this name.
fn open<'a>(name: &str, entry: &'a [u8]) -> Option<&'a [u8]> {
    let (found, code) = entry.strip_prefix(MAGIC)?.split_at_checked(DIGEST)?;
    (found == digest(name, code)).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_whole_and_under_their_own_name() {
        let entry = seal("a", b"code");
        assert_eq!(open("a", &entry), Some(b"code".as_slice()));
        assert_eq!(open("b", &entry), None, "renamed");
        for at in 0..entry.len() {
            let mut damaged = entry.clone();
            damaged[at] ^= 1;
            assert_eq!(open("a", &damaged), None, "damaged at {at}");
            assert_eq!(open("a", &entry[..at]), None, "cut at {at}");
        }
    }
}
