//! Reading a suite's file, in either format.

use std::path::{Path, PathBuf};

use crate::model::Suite;
use crate::{decode, textpb, yaml};

/// How a suite is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text format of protocol buffers.
    TextProto,
    /// YAML.
    Yaml,
}

/// Why a suite is not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be read.
    #[error("{}: cannot be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a suite.
    #[error("{}{at}: {message}", path.display(), at = line.map(|line| format!(":{line}")).unwrap_or_default())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, if it is known.
        line: Option<usize>,
        /// What is wrong.
        message: String,
    },
}

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParseError {
    pub(crate) line: Option<usize>,
    pub(crate) message: String,
}

impl Suite {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or any part of it is not of the format: nothing of such a file is run.
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

    /// Reads a text. `path` is where inputs and expected outputs in files are looked for, and is for messages.
    ///
    /// # Errors
    ///
    /// Any part of it is not of the format.
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

/// The line of a byte, counted from 1.
pub(crate) fn line_at(text: &[u8], offset: usize) -> usize {
    1 + text.iter().take(offset).filter(|byte| **byte == b'\n').count()
}
