//! Verdicts: the outcome of each rule of a policy.

use std::fmt;

/// A rule, displayed as its key in a policy file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// The kind is allowed (`allow`).
    Allow,
    /// The digest is listed (`sha256`).
    Sha256,
    /// A listed key signed the artifact (`keys`).
    Signature,
    /// Listed users own the file and its folders (`owners`).
    Owner,
    /// Only the owners can write the file and its folders (`only_owner_writes`).
    Mode,
    /// A listed folder contains the file (`directories`).
    Directory,
}

/// Outcome of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The rule holds.
    Holds,
    /// The rule is violated, and the artifact is refused.
    Fails,
    /// The rule is violated, but another identity rule holds and one is enough
    /// ([`Require::Any`](super::Require::Any)).
    NotNeeded,
}

/// The finding for one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// The outcome of the rule.
    pub outcome: Outcome,
    /// The observed fact.
    pub fact: String,
    /// The remedy; empty if the rule holds.
    pub remedy: String,
}

/// The findings for one artifact, in the order of [`Rule`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    findings: Vec<Violation>,
}

impl Rule {
    /// The rule's key in a policy file.
    pub fn key(self) -> &'static str {
        match self {
            Rule::Allow => "allow",
            Rule::Sha256 => "sha256",
            Rule::Signature => "keys",
            Rule::Owner => "owners",
            Rule::Mode => "only_owner_writes",
            Rule::Directory => "directories",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.key())
    }
}

impl Violation {
    pub(super) fn holds(rule: Rule, fact: impl Into<String>) -> Violation {
        Violation { rule, outcome: Outcome::Holds, fact: fact.into(), remedy: String::new() }
    }

    pub(super) fn fails(rule: Rule, fact: impl Into<String>, remedy: impl Into<String>) -> Violation {
        Violation { rule, outcome: Outcome::Fails, fact: fact.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule `{}`: {}", self.rule, self.fact)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, " ({})", self.remedy) }
    }
}

impl Verdict {
    /// Combines the findings. With `any`, an identity rule that holds makes violations of the
    /// others irrelevant.
    pub(super) fn new(mut findings: Vec<Violation>, any: bool) -> Verdict {
        let identity = |finding: &&mut Violation| matches!(finding.rule, Rule::Sha256 | Rule::Signature);
        let (held, failed): (Vec<_>, Vec<_>) =
            findings.iter_mut().filter(identity).partition(|finding| finding.outcome == Outcome::Holds);
        if any && !held.is_empty() {
            failed.into_iter().for_each(|finding| finding.outcome = Outcome::NotNeeded);
        } else if any {
            failed.into_iter().skip(1).for_each(|finding| finding.remedy.insert_str(0, "or "));
        }
        Verdict { findings }
    }

    /// True if no rule refuses the artifact.
    pub fn is_trusted(&self) -> bool {
        self.failures().next().is_none()
    }

    /// One finding for each rule that is set.
    pub fn findings(&self) -> &[Violation] {
        &self.findings
    }

    /// The findings that refuse the artifact.
    pub fn failures(&self) -> impl Iterator<Item = &Violation> {
        self.findings.iter().filter(|finding| finding.outcome == Outcome::Fails)
    }
}
