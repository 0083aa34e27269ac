//! Options that select the declared differences.

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use dynvm_compare::rules::{Rule, Rules};

#[derive(Clone, Debug, clap::Args)]
pub struct RuleArgs {
    /// Report declared differences (docs/differences.md) too.
    #[arg(long)]
    strict: bool,
    /// Ignore this kind of difference, in addition to the defaults; with --strict, ignore only
    /// these. Repeatable. Ignored by default: size-width, failure-text, panic-text,
    /// panic-unwinding, standard-output, call-forwarded-for. Not ignored by default: log-text,
    /// metric-values.
    #[arg(
        long,
        value_name = "NAME",
        value_parser = PossibleValuesParser::new(Rule::ALL.map(Rule::name)).try_map(|name| name.parse::<Rule>()),
        hide_possible_values = true
    )]
    allow: Vec<Rule>,
}

impl RuleArgs {
    pub fn rules(&self) -> Rules {
        Rules::select(self.strict, self.allow.iter().copied())
    }
}
