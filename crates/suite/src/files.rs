//! Reads files named by a suite.

use std::path::Path;

/// Reads a file whose path is relative to the directory of the suite's file.
pub(crate) fn read_beside(suite: &Path, file: &str) -> Result<Vec<u8>, String> {
    read(&suite.parent().unwrap_or(Path::new("")).join(file))
}

/// Reads a file whose path is relative to the current directory.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: cannot be read: {error}", path.display()))
}
