//! Traffic options.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use dynvm_differential::scenario::{Body, Bytes, FILE_NAME, FileError, Lines, RequestStep, Text};
pub use dynvm_differential::scenario::{Observation, Observed, Scenario, Step, drive, drive_step};
use dynvm_differential::traffic;

use crate::exit::usage;

/// Selects traffic and configuration.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Traffic")]
pub struct TrafficArgs {
    /// Request as 'METHOD PATH' or a path. Repeatable.
    #[arg(long, short, value_name = "REQUEST", conflicts_with = "scenario")]
    pub request: Vec<String>,
    /// Header of the requests as 'name: value'. Repeatable.
    #[arg(long, short = 'H', value_name = "HEADER")]
    pub header: Vec<String>,
    /// Body of the requests: literal text, or @FILE.
    #[arg(long, short, value_name = "BODY", value_parser = bytes_or_file)]
    pub body: Option<std::vec::Vec<u8>>,
    /// Plugin configuration: literal text, or @FILE.
    #[arg(long, short, value_name = "CONFIG", value_parser = text_or_file)]
    pub config: Option<String>,
    /// VM configuration: literal text, or @FILE.
    #[arg(long, value_name = "CONFIG", value_parser = text_or_file)]
    pub vm_config: Option<String>,
    /// Root id of the plugin.
    #[arg(long, value_name = "ID")]
    pub root_id: Option<String>,
    /// VM id.
    #[arg(long, value_name = "ID")]
    pub vm_id: Option<String>,
    /// Scenario file with configuration and traffic [default: scenario.json in the plugin's directory, if present].
    #[arg(long, short, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// Traffic file, used with the scenario's configuration: requests as JSON Lines, or a HAR
    /// archive (.har) recorded by a browser or a proxy.
    #[arg(long, value_name = "FILE", conflicts_with = "request")]
    pub traffic: Option<PathBuf>,
}

// The full path makes clap treat it as one value instead of a list of bytes.
fn bytes_or_file(text: &str) -> Result<std::vec::Vec<u8>, String> {
    match text.strip_prefix('@') {
        None => Ok(text.as_bytes().to_vec()),
        Some(path) => std::fs::read(path).map_err(|error| format!("{path} cannot be read: {error}")),
    }
}

fn text_or_file(text: &str) -> Result<String, String> {
    match text.strip_prefix('@') {
        None => Ok(text.to_owned()),
        Some(path) => std::fs::read_to_string(path).map_err(|error| format!("{path} cannot be read: {error}")),
    }
}

impl TrafficArgs {
    /// The scenario from the file, the plugin's directory, or the options; the standard one otherwise.
    ///
    /// # Errors
    ///
    /// The file or an option is invalid.
    pub fn scenario(&self, dir: Option<&Path>) -> anyhow::Result<Scenario> {
        let in_dir = dir.map(|dir| dir.join(FILE_NAME)).filter(|path| path.is_file());
        let mut scenario = match (&self.scenario, in_dir) {
            (Some(path), _) => Scenario::read(path).map_err(mistake)?,
            (None, Some(path)) => Scenario::read(&path).map_err(mistake)?,
            (None, None) => Scenario::standard(),
        };
        if let Some(path) = &self.traffic {
            scenario.steps = traffic::read(path).map_err(mistake)?;
        }
        if !self.request.is_empty() {
            scenario.steps = self.request.iter().map(|text| self.step(text)).collect::<anyhow::Result<_>>()?;
        } else if !self.header.is_empty() || self.body.is_some() {
            return Err(usage("--header and --body need --request; add a request"));
        }
        if let Some(text) = &self.config {
            scenario.plugin.configuration = Text::from(text.as_str());
        }
        if let Some(text) = &self.vm_config {
            scenario.plugin.vm_configuration = Text::from(text.as_str());
        }
        if let Some(id) = &self.root_id {
            scenario.plugin.root_id.clone_from(id);
        }
        if let Some(id) = &self.vm_id {
            scenario.plugin.vm_id.clone_from(id);
        }
        Ok(scenario)
    }

    fn step(&self, text: &str) -> anyhow::Result<Step> {
        let (method, path) = match text.trim().split_once(' ') {
            Some((method, path)) => (method, path.trim()),
            None if self.body.is_some() => ("POST", text.trim()),
            None => ("GET", text.trim()),
        };
        if !path.starts_with('/') {
            return Err(usage(format!("--request {text:?}: a path begins with '/'; write 'GET /path'")));
        }
        let headers = Lines(self.header.iter().map(|line| header(line)).collect::<anyhow::Result<_>>()?);
        Ok(Step::Request(Box::new(RequestStep {
            method: Some(method.into()),
            path: Some(path.into()),
            headers,
            body: self.body.clone().map_or_else(Body::default, |body| Body::Whole(Bytes(body))),
            ..RequestStep::default()
        })))
    }
}

/// Parses a header line. A name may begin with a colon, as pseudo-headers do.
fn header(line: &str) -> anyhow::Result<(Bytes, Bytes)> {
    let from = usize::from(line.starts_with(':'));
    let colon = line[from..]
        .find(':')
        .with_context(|| "no colon")
        .map_err(|_| usage(format!("--header {line:?}: write a header as 'name: value'")))?;
    let (name, value) = line.split_at(from + colon);
    Ok((name.trim().into(), value[1..].trim().into()))
}

/// An invalid file is a usage error.
fn mistake(error: FileError) -> anyhow::Error {
    usage(dynvm::with_causes(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_headers_are_read() {
        let args = TrafficArgs {
            request: vec!["GET /a?b=c".to_owned(), "/d".to_owned()],
            header: vec!["x: y: z".to_owned(), ":authority: host".to_owned()],
            ..TrafficArgs::default()
        };
        let scenario = args.scenario(None).unwrap();
        let [Step::Request(first), Step::Request(second)] = scenario.steps.as_slice() else { panic!() };
        assert_eq!((first.method.clone(), first.path.clone()), (Some("GET".into()), Some("/a?b=c".into())));
        assert_eq!(second.path, Some("/d".into()));
        let lines = [("x", "y: z"), (":authority", "host")].map(|(n, v)| (n.into(), v.into()));
        assert_eq!(first.headers.0, lines);
        for bad in ["GET no-slash", "relative"] {
            let args = TrafficArgs { request: vec![bad.to_owned()], ..TrafficArgs::default() };
            assert!(args.scenario(None).is_err());
        }
    }
}
