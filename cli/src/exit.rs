//! Exit codes, and printing of errors.

use std::process::ExitCode;

use dynvm::with_causes;
use owo_colors::OwoColorize as _;

/// The two builds differ, or a run failed.
pub const DIFFERS: u8 = 1;

/// Invalid command line, or an invalid file named there.
pub const USAGE: u8 = 2;

/// An artifact cannot be built or loaded.
pub const LOAD_FAILURE: u8 = 3;

/// An error with its own exit code.
#[derive(Debug)]
pub struct Coded {
    code: u8,
    message: String,
}

impl std::fmt::Display for Coded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Coded {}

/// A usage error.
pub fn usage(message: impl Into<String>) -> anyhow::Error {
    Coded { code: USAGE, message: message.into() }.into()
}

/// A failure to build or load, from a message.
pub fn load_failure(message: impl Into<String>) -> anyhow::Error {
    Coded { code: LOAD_FAILURE, message: message.into() }.into()
}

/// A failure to build or load, from an error with its causes.
pub fn cannot_load(error: impl std::error::Error) -> anyhow::Error {
    load_failure(with_causes(&error))
}

/// Prints an error and returns its exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    anstream::eprintln!("{} {error:#}", "error:".red().bold());
    let code = error.chain().find_map(|cause| cause.downcast_ref::<Coded>()).map_or(DIFFERS, |coded| coded.code);
    ExitCode::from(code)
}
