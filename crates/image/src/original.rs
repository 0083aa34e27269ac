//! The plugin's file, kept open for what is read from it later: the names of functions, and what a program wants to know of the rest.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// An open file whose content can be read again, as long as it is what it was when it was opened.
///
/// A deploy that replaces the path leaves the file alone. One that overwrites the file is noticed by its size or its time of modification.
/// Clones share the descriptor.
#[derive(Clone, Debug)]
pub struct Original {
    file: Arc<File>,
    size: u64,
    modified: (i64, i64),
    is_settled: bool,
}

impl Original {
    /// Notes what the file is like now, before it is read.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn new(file: File) -> io::Result<Original> {
        /// More than the step of the clock of any usual file system.
        const STEP: Duration = Duration::from_secs(2);
        let metadata = file.metadata()?;
        let age = metadata.modified().ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
        Ok(Original {
            file: Arc::new(file),
            size: metadata.len(),
            modified: modified(&metadata),
            is_settled: age.is_some_and(|age| age > STEP),
        })
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// False if the file was modified so shortly before it was opened that a second modification might have the same time.
    pub fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// The whole content. `None`: it is no longer what it was, or cannot be read.
    pub fn read(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.size).ok()?];
        self.file.read_exact_at(&mut bytes, 0).ok()?;
        // Afterwards: what was overwritten while it was read has changed too.
        let metadata = self.file.metadata().ok()?;
        (metadata.len() == self.size && modified(&metadata) == self.modified).then_some(bytes)
    }
}

fn modified(metadata: &Metadata) -> (i64, i64) {
    (metadata.mtime(), metadata.mtime_nsec())
}
