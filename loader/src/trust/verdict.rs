//! What came of applying a policy: one finding for each rule that is set.

use std::fmt;

/// A rule, displayed by its key in a policy file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// The kind is allowed at all (`allow`).
    Allow,
    /// The digest is listed (`sha256`).
    Sha256,
    /// A listed key signed it (`keys`).
    Signature,
    /// File and folders belong to listed users (`owners`).
    Owner,
    /// Only their owners can write file and folders (`only_owner_writes`).
    Mode,
    /// The file is in a listed folder (`directories`).
    Directory,
}

/// Whether a rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Holds,
    /// It does not, and the artifact is refused.
    Fails,
    /// It does not, but another identity rule does and one is enough ([`Require::Any`](super::Require::Any)).
    NotNeeded,
}

/// What was found for one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// Whether it holds.
    pub outcome: Outcome,
    /// What is the case.
    pub fact: String,
    /// What would satisfy the rule; empty if it holds.
    pub remedy: String,
}

/// The findings for one artifact, in the order of [`Rule`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    findings: Vec<Violation>,
}

impl Rule {
    /// The key in a policy file.
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
    /// Of all findings; with `any`, one of the identity rules that holds makes the others needless.
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

    /// Whether no rule refuses the artifact.
    pub fn is_trusted(&self) -> bool {
        self.failures().next().is_none()
    }

    /// One finding for each rule that is set.
    pub fn findings(&self) -> &[Violation] {
        &self.findings
    }

    /// Those that refuse the artifact.
    pub fn failures(&self) -> impl Iterator<Item = &Violation> {
        self.findings.iter().filter(|finding| finding.outcome == Outcome::Fails)
    }
}
