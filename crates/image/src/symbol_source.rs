//! Where the names of functions are read from when they are first needed.

use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use crate::elf::Functions;

/// The plugin's file, kept open: a deploy that replaces the path leaves it alone.
#[derive(Debug)]
pub(crate) struct SymbolSource {
    file: File,
    size: u64,
    modified: (i64, i64),
}

impl SymbolSource {
    /// `None`: the file is not the one whose bytes were linked.
    pub(crate) fn new(file: File, bytes: &[u8]) -> Option<SymbolSource> {
        let metadata = file.metadata().ok().filter(|metadata| metadata.len() == bytes.len() as u64)?;
        Some(SymbolSource { file, size: metadata.len(), modified: modified(&metadata) })
    }

    /// The functions. Of a file that was overwritten, none.
    pub(crate) fn read(&self) -> Functions {
        let same = |metadata: &Metadata| metadata.len() == self.size && modified(metadata) == self.modified;
        if !self.file.metadata().is_ok_and(|metadata| same(&metadata)) {
            return Functions::default();
        }
        let mut bytes = vec![0; self.size as usize];
        match self.file.read_exact_at(&mut bytes, 0) {
            Ok(()) => Functions::read(&bytes),
            Err(_) => Functions::default(),
        }
    }
}

fn modified(metadata: &Metadata) -> (i64, i64) {
    (metadata.mtime(), metadata.mtime_nsec())
}
