//! What was converted, what was not, and what will behave differently.

use std::collections::BTreeMap;

use owo_colors::OwoColorize as _;
use serde::Serialize;

use super::Plugin;
use super::artifacts::Artifact;
use super::differences::{self, differences};
use super::find::{Found, Site};
use super::yaml::{Node, Place};

/// Also the structure of the JSON.
#[derive(Serialize)]
pub struct Report {
    schema: &'static str,
    pub file: String,
    pub converted: Vec<Converted>,
    pub left: Vec<Left>,
    pub discovery: Vec<Discovery>,
    /// Differences of all converted plugins.
    differences: &'static [&'static str],
}

/// A plugin that runs in the module now.
#[derive(Serialize)]
pub struct Converted {
    #[serde(flatten)]
    place: Place,
    kind: &'static str,
    name: String,
    code: Option<String>,
    artifact: String,
    differences: Vec<String>,
}

/// A plugin that stays in V8.
#[derive(Serialize)]
pub struct Left {
    #[serde(flatten)]
    place: Place,
    kind: &'static str,
    name: String,
    reason: String,
}

/// A type added to a list of those that discovery may deliver.
#[derive(Serialize)]
pub struct Discovery {
    #[serde(flatten)]
    pub place: Place,
    pub added: &'static str,
}

impl Converted {
    pub fn new(site: &Site, plugin: &Plugin<'_>, artifact: &Artifact) -> Converted {
        Converted {
            place: site.ty.place,
            kind: site.kind.title(),
            name: plugin.name().to_owned(),
            code: plugin.code.map(str::to_owned),
            artifact: artifact.path.clone(),
            differences: differences(site.kind, plugin.config, artifact),
        }
    }
}

impl Left {
    pub fn new(node: &Node, kind: &'static str, name: &str, reason: String) -> Left {
        Left { place: node.place, kind, name: name.to_owned(), reason }
    }
}

impl Report {
    pub fn new(file: &str) -> Report {
        Report {
            schema: "dynvm-envoy-convert/1",
            file: file.to_owned(),
            converted: Vec::new(),
            left: Vec::new(),
            discovery: Vec::new(),
            differences: &differences::GENERAL,
        }
    }

    /// For each site, whether it was converted.
    pub fn is_converted(&self, found: &Found) -> Vec<bool> {
        let places: Vec<Place> = self.converted.iter().map(|converted| converted.place).collect();
        found.sites.iter().map(|site| places.contains(&site.ty.place)).collect()
    }

    /// Prints to standard error, as the configuration may go to standard output.
    pub fn print(&self) {
        let title = |place: Place, kind: &str, name: &str| {
            let name = if name.is_empty() { String::new() } else { format!(" {}", name.bold()) };
            format!("{}:{place}: {kind}{name}", self.file)
        };
        for Converted { place, kind, name, code, artifact, differences } in &self.converted {
            let code = code.as_deref().unwrap_or("inline code");
            anstream::eprintln!("{}: {code} -> {}", title(*place, kind, name), artifact.green());
            differences.iter().for_each(|text| anstream::eprintln!("  {text}"));
        }
        for Left { place, kind, name, reason } in &self.left {
            anstream::eprintln!("{}: {}: {reason}", title(*place, kind, name), "stays in V8".yellow());
        }
        for Discovery { place, added } in &self.discovery {
            anstream::eprintln!("{}:{place}: discovery may deliver {added} too", self.file);
        }
        if self.converted.is_empty() {
            if self.left.is_empty() {
                anstream::eprintln!("{}: no wasm plugins", self.file);
            }
            return;
        }
        anstream::eprintln!("all converted plugins:");
        self.differences.iter().for_each(|text| anstream::eprintln!("  {text}"));
    }

    /// One object. `shown`: the new configuration or the diff, under its name.
    pub fn json(&self, shown: Option<(&'static str, String)>) -> anyhow::Result<String> {
        #[derive(Serialize)]
        struct Shown<'a> {
            #[serde(flatten)]
            report: &'a Report,
            #[serde(flatten)]
            shown: BTreeMap<&'static str, String>,
        }
        Ok(serde_json::to_string_pretty(&Shown { report: self, shown: shown.into_iter().collect() })?)
    }
}
