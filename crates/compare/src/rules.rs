//! Declared differences: named rules, each for a row of `docs/differences.md`.
//!
//! No difference is ignored without a rule, and each application is counted. Things absent from
//! traces need no rule: calls of the plugin's allocator, and WASI functions that replace functions
//! of the C library. See `docs/differential.md`.

use std::fmt;

/// A declared difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A size or buffer offset that differs only above its low 32 bits; the host uses only those.
    SizeWidth,
    /// The text and the kind of a VM failure.
    FailureText,
    /// The text of a panic: the location within the standard library, the thread's name.
    PanicText,
    /// Calls of an unwinding native build between a panic and the end of its callback: destructors, a second message.
    PanicUnwinding,
    /// How standard output and error are split into messages; also natively missing output of C's `printf`.
    StandardOutput,
    /// The text of log messages.
    LogText,
    /// The values of metrics.
    MetricValues,
    /// The header `x-forwarded-for` of HTTP calls that plugins make in Envoy.
    CallForwardedFor,
}

impl Rule {
    /// All rules.
    pub const ALL: [Rule; 8] = [
        Rule::SizeWidth,
        Rule::FailureText,
        Rule::PanicText,
        Rule::PanicUnwinding,
        Rule::StandardOutput,
        Rule::LogText,
        Rule::MetricValues,
        Rule::CallForwardedFor,
    ];

    /// Name on the command line and in results.
    pub const fn name(self) -> &'static str {
        match self {
            Rule::SizeWidth => "size-width",
            Rule::FailureText => "failure-text",
            Rule::PanicText => "panic-text",
            Rule::PanicUnwinding => "panic-unwinding",
            Rule::StandardOutput => "standard-output",
            Rule::LogText => "log-text",
            Rule::MetricValues => "metric-values",
            Rule::CallForwardedFor => "call-forwarded-for",
        }
    }

    /// Description of the ignored difference.
    pub const fn what(self) -> &'static str {
        match self {
            Rule::SizeWidth => "sizes and offsets of buffers, above their low 32 bits",
            Rule::FailureText => "the wording and kind of a failure",
            Rule::PanicText => "the text of a panic",
            Rule::PanicUnwinding => "calls after a panic in the native build",
            Rule::StandardOutput => "the split of standard output and error into messages",
            Rule::LogText => "the text of log messages",
            Rule::MetricValues => "the values of metrics",
            Rule::CallForwardedFor => "the header x-forwarded-for of HTTP calls in Envoy",
        }
    }

    /// Title of the row of `docs/differences.md` that declares it.
    pub const fn row(self) -> &'static str {
        match self {
            Rule::SizeWidth => "`usize`, pointers",
            Rule::FailureText => "a crash of any kind",
            Rule::PanicText | Rule::PanicUnwinding => "a Rust panic",
            Rule::StandardOutput => "standard output and error",
            // Durations that a plugin measures end up here.
            Rule::LogText | Rule::MetricValues => "clock",
            Rule::CallForwardedFor => "HTTP calls in Envoy",
        }
    }

    /// Whether the rule applies by default. The others can hide real differences; use them for
    /// plugins that log or measure values known only to the system.
    pub const fn is_default(self) -> bool {
        !matches!(self, Rule::LogText | Rule::MetricValues)
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// No rule has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown rule {0:?}: use one of {names}", names = Rule::ALL.map(Rule::name).join(", "))]
pub struct UnknownRule(pub String);

impl std::str::FromStr for Rule {
    type Err = UnknownRule;

    fn from_str(name: &str) -> Result<Rule, UnknownRule> {
        Rule::ALL.into_iter().find(|rule| rule.name() == name).ok_or_else(|| UnknownRule(name.to_owned()))
    }
}

/// A set of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules([bool; Rule::ALL.len()]);

impl Default for Rules {
    fn default() -> Self {
        Rules(Rule::ALL.map(Rule::is_default))
    }
}

impl Rules {
    /// The empty set: every difference counts.
    pub fn strict() -> Rules {
        Rules([false; Rule::ALL.len()])
    }

    /// The default rules, or with `strict` none, and the allowed ones.
    pub fn select(strict: bool, allowed: impl IntoIterator<Item = Rule>) -> Rules {
        let rules = if strict { Rules::strict() } else { Rules::default() };
        allowed.into_iter().fold(rules, Rules::allow)
    }

    /// Adds a rule.
    pub fn allow(mut self, rule: Rule) -> Rules {
        self.0[rule.index()] = true;
        self
    }

    /// Whether the set contains a rule.
    pub fn has(&self, rule: Rule) -> bool {
        self.0[rule.index()]
    }
}

/// Number of applications per rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied([u64; Rule::ALL.len()]);

/// A rule with its number of applications, for reports.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct AppliedRule {
    /// Name of the rule.
    pub rule: &'static str,
    /// Description of the ignored difference.
    pub what: &'static str,
    /// Title of the row of `docs/differences.md`.
    pub row: &'static str,
    /// Number of applications.
    pub count: u64,
}

impl fmt::Display for AppliedRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ignored {} times: {} ({}, declared as \"{}\")", self.count, self.what, self.rule, self.row)
    }
}

impl Applied {
    /// Counts one application.
    pub fn count(&mut self, rule: Rule) {
        self.0[rule.index()] += 1;
    }

    /// Number of applications of a rule.
    pub fn of(&self, rule: Rule) -> u64 {
        self.0[rule.index()]
    }

    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &Applied) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }

    /// The rules that applied at least once.
    pub fn list(&self) -> Vec<AppliedRule> {
        let applied = Rule::ALL.into_iter().filter(|rule| self.of(*rule) > 0);
        let row =
            |rule: Rule| AppliedRule { rule: rule.name(), what: rule.what(), row: rule.row(), count: self.of(rule) };
        applied.map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_a_row_in_the_documentation() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/differences.md")).unwrap();
        let guide =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/differential.md")).unwrap();
        for rule in Rule::ALL {
            assert!(page.contains(&format!("\n| {} |", rule.row())), "{} has no row {:?}", rule.name(), rule.row());
            assert!(guide.contains(&format!("\n| `{}` |", rule.name())), "{} is not described", rule.name());
            assert_eq!(rule.name().parse(), Ok(rule));
        }
        let error = "log".parse::<Rule>().unwrap_err().to_string();
        assert!(error.starts_with("unknown rule \"log\": use one of size-width, "), "{error}");
    }

    #[test]
    fn strict_is_without_the_default_rules() {
        let has = |strict: bool| {
            let rules = Rules::select(strict, [Rule::LogText]);
            [Rule::LogText, Rule::PanicText, Rule::MetricValues].map(|rule| rules.has(rule))
        };
        assert_eq!((has(false), has(true)), ([true, true, false], [true, false, false]));
    }
}
