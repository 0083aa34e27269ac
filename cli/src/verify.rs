//! `dynvm verify`: checks artifacts against a trust policy, rule by rule.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use dynvm::LoadError;
use dynvm::trust::{Artifact, Outcome, TrustPolicy, Verdict};
use owo_colors::OwoColorize as _;
use serde::Serialize;

use crate::{exit, policy};

/// Check artifacts against a trust policy, rule by rule.
///
/// No code of an artifact runs, and only its first bytes are parsed; use `dynvm inspect --policy` to learn
/// whether it would load. The signature is expected beside the file, as FILE.minisig.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  dynvm verify --policy trust.toml plugin.so
  dynvm verify --policy trust.toml dist/*.so --format json | jq '.[] | select(.trusted | not)'
  dynvm verify --policy trust.toml plugin.so --signature downloads/plugin.so.minisig

A policy for signed release builds in a directory that root owns:
  [native]
  allow = true
  keys = [\"release.pub\"]               # minisign -G makes a key pair, minisign -Sm plugin.so signs
  owners = [\"root\"]
  only_owner_writes = true
  directories = [\"/usr/lib/dynvm\"]

Exit codes: 0 all artifacts are trusted, 2 wrong usage, an invalid policy or an unreadable file, 3 an artifact is refused.")]
pub struct VerifyArgs {
    /// The trust policy (TOML).
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Shared objects and wasm modules, detected by content.
    #[arg(value_name = "ARTIFACT", required = true)]
    artifacts: Vec<PathBuf>,
    /// Signature file, if it is not beside the artifact; allowed with a single artifact only.
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Human-readable, one line per rule.
    Text,
    /// A JSON array with one object per artifact.
    Json,
}

pub fn execute(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    if args.signature.is_some() && args.artifacts.len() > 1 {
        return Err(exit::usage(
            "--signature applies to a single artifact; name one artifact, or put each signature beside its file",
        ));
    }
    let policy = policy::read(&args.policy)?;
    let mut results = Vec::new();
    let mut unread = false;
    for path in &args.artifacts {
        match verify(&policy, path, args.signature.as_deref()) {
            Ok(result) => results.push(result),
            Err(error) => {
                unread = true;
                exit::report(&exit::usage(dynvm::with_causes(&error)));
            }
        }
    }
    match args.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&results)?),
        Format::Text => results.iter().for_each(Verified::print),
    }
    let refused = results.iter().any(|result| !result.trusted);
    Ok(match (unread, refused) {
        (true, _) => ExitCode::from(exit::USAGE),
        (false, true) => ExitCode::from(exit::LOAD_FAILURE),
        (false, false) => ExitCode::SUCCESS,
    })
}

fn verify(policy: &TrustPolicy, path: &Path, signature: Option<&Path>) -> Result<Verified, LoadError> {
    match policy.read_file(path, signature) {
        Ok(artifact) => Ok(Verified::new(policy, &artifact)),
        Err(error @ LoadError::NotAPlugin { .. }) => Ok(Verified::no_plugin(path.display().to_string(), &error)),
        Err(error) => Err(error),
    }
}

/// Result for one artifact.
#[derive(Serialize)]
struct Verified {
    file: String,
    /// `None` if it is not a plugin, so that no rules apply.
    kind: Option<String>,
    trusted: bool,
    rules: Vec<RuleLine>,
    /// Reason why it is not a plugin.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Serialize)]
struct RuleLine {
    rule: &'static str,
    outcome: &'static str,
    fact: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    remedy: String,
}

impl Verified {
    fn new(policy: &TrustPolicy, artifact: &Artifact) -> Verified {
        let file = artifact.name.clone();
        match artifact.evidence() {
            Ok(evidence) => {
                let verdict = policy.examine(&evidence);
                let (kind, trusted) = (Some(evidence.kind.to_string()), verdict.is_trusted());
                Verified { file, kind, trusted, rules: lines(&verdict), problem: None }
            }
            Err(error) => Verified::no_plugin(file, &error),
        }
    }

    fn no_plugin(file: String, error: &LoadError) -> Verified {
        Verified { file, kind: None, trusted: false, rules: Vec::new(), problem: Some(error.to_string()) }
    }

    fn print(&self) {
        let Some(kind) = &self.kind else {
            let problem = self.problem.as_deref().unwrap_or_default();
            anstream::println!("{}: {}\n  {problem}", self.file.bold(), "refused".red());
            return;
        };
        let verdict = if self.trusted { "trusted".green().to_string() } else { "refused".red().to_string() };
        anstream::println!("{}: {verdict} ({kind})", self.file.bold());
        for line in &self.rules {
            let outcome = format!("{:<10}", line.outcome);
            let outcome = match line.outcome {
                "holds" => outcome.green().to_string(),
                "fails" => outcome.red().to_string(),
                _ => outcome.dimmed().to_string(),
            };
            anstream::println!("  {:<17}  {outcome}  {}", line.rule, line.fact);
            // The remedy is only relevant for a failed rule.
            if line.outcome == "fails" {
                anstream::println!("  {:<17}  {:<10}  {}", "", "", line.remedy.dimmed());
            }
        }
    }
}

fn lines(verdict: &Verdict) -> Vec<RuleLine> {
    let line = |finding: &dynvm::trust::Violation| RuleLine {
        rule: finding.rule.key(),
        outcome: match finding.outcome {
            Outcome::Holds => "holds",
            Outcome::Fails => "fails",
            Outcome::NotNeeded => "not needed",
        },
        fact: finding.fact.clone(),
        remedy: finding.remedy.clone(),
    };
    verdict.findings().iter().map(line).collect()
}
