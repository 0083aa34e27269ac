//! Where a report goes.

use std::path::{Path, PathBuf};

use super::{Report, html, json, terminal};
use crate::exit::usage;

/// The output and the files of a report.
pub struct Output {
    /// Format of standard output.
    pub format: Format,
    /// File for the report as JSON.
    pub json: Option<PathBuf>,
    /// File for the report as an HTML page.
    pub html: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Human-readable.
    Text,
    /// One JSON object.
    Json,
}

impl Output {
    /// Prints the report and writes the requested files.
    ///
    /// # Errors
    ///
    /// A file cannot be written.
    pub fn write(&self, report: &Report) -> anyhow::Result<()> {
        // Files first: a reader of the output may close the pipe, which ends this process.
        if let Some(path) = &self.json {
            save(path, &json(report)?)?;
        }
        if let Some(path) = &self.html {
            save(path, &html(report)?)?;
        }
        match self.format {
            Format::Json => println!("{}", json(report)?),
            Format::Text => terminal::print(report),
        }
        Ok(())
    }
}

fn save(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).map_err(|error| usage(format!("{} cannot be written: {error}", path.display())))
}
