//! Traffic from files: requests as JSON Lines, and HAR archives as browsers and proxies record them.

mod har;
mod json_lines;

use std::path::Path;

pub use har::parse as parse_har;
pub use json_lines::parse as parse_json_lines;

use crate::scenario::{FileError, Step};

/// Reads a file: HAR if its name ends in `.har`, otherwise JSON Lines.
///
/// # Errors
///
/// The file cannot be read or is malformed; the message has the position.
pub fn read(path: &Path) -> Result<Vec<Step>, FileError> {
    let text = std::fs::read_to_string(path).map_err(|source| FileError::Io { path: path.to_owned(), source })?;
    let is_har = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("har"));
    let (format, steps) =
        if is_har { ("a HAR archive", parse_har(&text)) } else { ("JSON Lines", parse_json_lines(&text)) };
    steps.map_err(|what| FileError::Malformed { path: path.to_owned(), format, what })
}
