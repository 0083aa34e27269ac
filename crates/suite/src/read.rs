//! Reads a suite file in either format.

use std::path::{Path, PathBuf};

use crate::model::Suite;
use crate::{decode, textpb, yaml};

/// File format of a suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Protocol buffer text format.
    TextProto,
    /// YAML.
    Yaml,
}

/// Error of reading a suite.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The file is not a suite.
    #[error("{}{at}: {message}", path.display(), at = line.map(|line| format!(":{line}")).unwrap_or_default())]
    Invalid {
        /// Path of the file.
        path: PathBuf,
        /// Line number, if known.
        line: Option<usize>,
        /// Description of the error.
        message: String,
    },
}

/// A syntax error with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParseError {
    pub(crate) line: Option<usize>,
    pub(crate) message: String,
}

impl Suite {
    /// Reads a suite file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or any part of it is invalid; no part of such a file is used.
    pub fn from_file(path: impl AsRef<Path>, format: Format) -> Result<Suite, ReadError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
        let text = std::str::from_utf8(&bytes).map_err(|error| ReadError::Invalid {
            path: path.to_owned(),
            line: Some(line_at(&bytes, error.valid_up_to())),
            message: "this is not UTF-8; write other bytes as escapes (\\377)".to_owned(),
        })?;
        Suite::parse(text, format, path)
    }

    /// Parses a suite. `path` is the base of relative input and output files, and appears in messages.
    ///
    /// # Errors
    ///
    /// Any part of the text is invalid.
    pub fn parse(text: &str, format: Format, path: impl Into<PathBuf>) -> Result<Suite, ReadError> {
        let path = path.into();
        let message = match format {
            Format::TextProto => textpb::parse(text),
            Format::Yaml => yaml::parse(text),
        };
        match message {
            Ok(message) => Ok(Suite { path, ..decode::suite(&message) }),
            Err(ParseError { line, message }) => Err(ReadError::Invalid { path, line, message }),
        }
    }
}

/// The line of a byte offset, counted from 1.
pub(crate) fn line_at(text: &[u8], offset: usize) -> usize {
    1 + text.iter().take(offset).filter(|byte| **byte == b'\n').count()
}
