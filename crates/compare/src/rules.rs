//! What may differ by declaration: rules with names, each for a row of `docs/differences.md`.
//!
//! Nothing is passed over without a rule, and each application is counted. What the trace does not have cannot differ and needs no rule:
//! calls of the plugin's allocator, and the WASI functions beside the C library's. `docs/differential.md` says so.

/// A declared difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A size or a start of a buffer that differs above its low 32 bits only, which are what counts.
    SizeWidth,
    /// How a failure of the VM is worded, and of which kind it is.
    FailureText,
    /// The text of a panic: its place in a standard library, the thread's name.
    PanicText,
    /// What the native build does between a panic and the end of its callback, when it unwinds: destructors, a second message.
    PanicUnwinding,
    /// How what is written to standard output and error is cut into messages; and that C's `printf` does not reach the log natively.
    StandardOutput,
    /// The text of a message to the log.
    LogText,
    /// The values of metrics.
    MetricValues,
}

impl Rule {
    /// All of them.
    pub const ALL: [Rule; 7] = [
        Rule::SizeWidth,
        Rule::FailureText,
        Rule::PanicText,
        Rule::PanicUnwinding,
        Rule::StandardOutput,
        Rule::LogText,
        Rule::MetricValues,
    ];

    /// Its name on the command line and in results.
    pub const fn name(self) -> &'static str {
        match self {
            Rule::SizeWidth => "size-width",
            Rule::FailureText => "failure-text",
            Rule::PanicText => "panic-text",
            Rule::PanicUnwinding => "panic-unwinding",
            Rule::StandardOutput => "standard-output",
            Rule::LogText => "log-text",
            Rule::MetricValues => "metric-values",
        }
    }

    /// The rule of a name.
    pub fn named(name: &str) -> Option<Rule> {
        Rule::ALL.into_iter().find(|rule| rule.name() == name)
    }

    /// What differs by it.
    pub const fn what(self) -> &'static str {
        match self {
            Rule::SizeWidth => "sizes and starts of buffers, above their low 32 bits",
            Rule::FailureText => "the wording and kind of a failure",
            Rule::PanicText => "the text of a panic",
            Rule::PanicUnwinding => "what follows a panic in the native build",
            Rule::StandardOutput => "standard output and error, as cut into messages",
            Rule::LogText => "the text of messages to the log",
            Rule::MetricValues => "the values of metrics",
        }
    }

    /// The row of `docs/differences.md` that declares it.
    pub const fn row(self) -> &'static str {
        match self {
            Rule::SizeWidth => "`usize`, pointers",
            Rule::FailureText => "a crash of any kind",
            Rule::PanicText | Rule::PanicUnwinding => "a Rust panic",
            Rule::StandardOutput => "standard output and error",
            // What a plugin measures with the system's clock ends there.
            Rule::LogText | Rule::MetricValues => "clock",
        }
    }

    /// Whether it applies unless told otherwise. The others hide what a plugin may mean: they are for plugins that are known to log or to
    /// measure what only the system knows.
    pub const fn is_default(self) -> bool {
        !matches!(self, Rule::LogText | Rule::MetricValues)
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// Which rules apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules([bool; Rule::ALL.len()]);

impl Default for Rules {
    fn default() -> Self {
        Rules(Rule::ALL.map(Rule::is_default))
    }
}

impl Rules {
    /// None: whatever differs is a difference.
    pub fn strict() -> Rules {
        Rules([false; Rule::ALL.len()])
    }

    /// These and one more.
    pub fn allow(mut self, rule: Rule) -> Rules {
        self.0[rule.index()] = true;
        self
    }

    /// Whether a rule applies.
    pub fn has(&self, rule: Rule) -> bool {
        self.0[rule.index()]
    }
}

/// How often rules were applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied([u64; Rule::ALL.len()]);

/// A rule and how often it was applied, for a report.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct AppliedRule {
    /// Its name.
    pub rule: &'static str,
    /// What differs by it.
    pub what: &'static str,
    /// The row of `docs/differences.md`.
    pub row: &'static str,
    /// How often.
    pub count: u64,
}

impl Applied {
    /// Counts an application.
    pub fn count(&mut self, rule: Rule) {
        self.0[rule.index()] += 1;
    }

    /// How often a rule was applied.
    pub fn of(&self, rule: Rule) -> u64 {
        self.0[rule.index()]
    }

    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: &Applied) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }

    /// Those that were applied at all.
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
            assert_eq!(Rule::named(rule.name()), Some(rule));
        }
    }
}
