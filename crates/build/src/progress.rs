//! Who hears what a build does.

/// Hears what a build does, on the threads that do it.
pub trait Progress: Sync {
    /// A new step begins.
    fn step(&self, what: &str) {
        let _ = what;
    }

    /// Something that the user should know even afterwards.
    fn note(&self, what: &str) {
        let _ = what;
    }

    /// A command is run, as a user would type it.
    fn command(&self, command: &str) {
        let _ = command;
    }

    /// A tool printed a line to its standard error.
    fn line(&self, line: &str) {
        let _ = line;
    }
}

/// Hears nothing.
pub struct Quiet;

impl Progress for Quiet {}
