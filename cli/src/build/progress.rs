//! Progress of `dynvm build`: a spinner on a terminal, lines elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use dynvm_build::Progress;
use indicatif::{ProgressBar, ProgressStyle};

/// Reports progress on standard error.
pub struct Shown {
    /// A spinner, only on a terminal.
    bar: Option<ProgressBar>,
    verbose: bool,
}

impl Shown {
    /// `verbose`: commands and their output instead of a spinner.
    pub fn new(verbose: bool) -> Self {
        let spins = !verbose && std::io::stderr().is_terminal();
        let bar = spins.then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}: {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar, verbose }
    }
}

impl Progress for Shown {
    fn step(&self, what: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_prefix(what.to_owned());
                bar.set_message("");
            }
            None => anstream::eprintln!("building {what}"),
        }
    }

    fn note(&self, what: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| anstream::eprintln!("{what}")),
            None => anstream::eprintln!("{what}"),
        }
    }

    fn command(&self, command: &str) {
        if self.verbose {
            anstream::eprintln!("+ {command}");
        }
    }

    fn line(&self, line: &str) {
        if self.verbose {
            anstream::eprintln!("{line}");
        } else if let Some(bar) = &self.bar {
            bar.set_message(line.trim().to_owned());
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
