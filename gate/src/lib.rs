//! Conditions on measured values, as `dynvm ab --fail-if` takes them.
//!
//! ```text
//!   native.stream.p50 > 0.5 * wasm.stream.p50 or native.memory > 2 MiB
//!   ^ name              ^ number                                ^ number with a unit
//! ```
//!
//! A condition is read once, checked against the names that there are, and decided when the values are known:
//!
//! ```
//! use dynvm_gate::{Condition, Dimension, Interval};
//!
//! let condition = Condition::parse("native.p50 > 0.5 * wasm.p50")?;
//! condition.check(&|name| name.ends_with(".p50").then_some(Dimension::Time))?;
//! let outcome = condition.decide(&|name| {
//!     let (low, value, high) = if name == "native.p50" { (470.0, 480.0, 490.0) } else { (980.0, 1000.0, 1020.0) };
//!     Ok(Interval { low, value, high })
//! })?;
//! assert!(!outcome.holds, "480 is not more than 500");
//! assert!(!outcome.certain || !outcome.holds);
//! # Ok::<(), dynvm_gate::Error>(())
//! ```
//!
//! Every value has a dimension: a time, a number of bytes, or a plain number. What does not fit together (a time compared with a plain
//! number) is an error, as is a name that is not known; errors show the place in the text. Values come with an interval of confidence,
//! which arithmetic carries along, so that a condition is not only decided but said to be in doubt where the intervals allow both answers.
//!
//! The language:
//!
//! ```text
//!   condition   = conjunction { ("or" | "||") conjunction }
//!   conjunction = negation { ("and" | "&&") negation }
//!   negation    = ("not" | "!") negation | comparison
//!   comparison  = sum [ ("<" | "<=" | ">" | ">=") sum ]
//!   sum         = product { ("+" | "-") product }
//!   product     = sign { ("*" | "/") sign }
//!   sign        = "-" sign | operand
//!   operand     = number [unit] | name | "(" condition ")"
//!   unit        = "ns" | "us" | "ms" | "s" | "B" | "KiB" | "MiB" | "GiB" | "%"
//!   name        = a letter, then letters, digits, "_" and "."
//! ```

#![forbid(unsafe_code)]

mod check;
mod decide;
mod dimension;
mod error;
mod expression;
mod interval;
mod parse;
mod token;

use std::collections::BTreeSet;

pub use decide::Outcome;
pub use dimension::Dimension;
pub use error::Error;
pub use interval::Interval;

use expression::{Expression, Kind};

/// A condition that was read.
#[derive(Clone, Debug)]
pub struct Condition {
    text: String,
    root: Expression,
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    ///
    /// The text is not a condition; the error shows where.
    pub fn parse(text: &str) -> Result<Condition, Error> {
        Ok(Condition { text: text.to_owned(), root: parse::parse(text)? })
    }

    /// The text that it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names in it, each once.
    pub fn names(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        self.root.walk(&mut |expression| {
            if let Kind::Name(name) = &expression.kind {
                names.insert(name.as_str());
            }
        });
        names
    }

    /// Checks that all names are known, that dimensions fit together, and that the whole can hold or not.
    ///
    /// # Errors
    ///
    /// The first thing that does not fit, and where it is.
    pub fn check(&self, dimension_of: &dyn Fn(&str) -> Option<Dimension>) -> Result<(), Error> {
        check::condition(self, dimension_of)
    }

    /// An error at the place of a name, such as that its value is not to be had.
    pub fn error_at(&self, name: &str, what: impl Into<String>) -> Error {
        let mut at = 0..0;
        self.root.walk(&mut |expression| {
            if matches!(&expression.kind, Kind::Name(known) if known == name) && at.is_empty() {
                at = expression.at.clone();
            }
        });
        Error::new(&self.text, at, what)
    }

    /// Decides it. Times are in nanoseconds, sizes in bytes. `value_of` gives the value of a name, or why there is none.
    ///
    /// # Errors
    ///
    /// A value is missing or not a number, or something is divided by zero: the condition then neither holds nor fails to.
    pub fn decide(&self, value_of: &dyn Fn(&str) -> Result<Interval, String>) -> Result<Outcome, Error> {
        decide::condition(self, value_of)
    }
}

#[cfg(test)]
mod tests;
