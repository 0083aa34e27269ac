//! Progress of a build.

/// Receives the progress of a build, on the threads that run it.
pub trait Progress: Sync {
    /// A new step begins.
    fn step(&self, what: &str) {
        let _ = what;
    }

    /// A message that should stay visible after the build.
    fn note(&self, what: &str) {
        let _ = what;
    }

    /// A command is about to run, formatted as a user would type it.
    fn command(&self, command: &str) {
        let _ = command;
    }

    /// A tool printed this line to standard error.
    fn line(&self, line: &str) {
        let _ = line;
    }
}

/// Discards progress.
pub struct Quiet;

impl Progress for Quiet {}
