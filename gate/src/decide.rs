//! Whether a condition holds.

use crate::Condition;
use crate::error::Error;
use crate::expression::{Expression, Kind, Operator};
use crate::interval::Interval;

/// Whether a condition holds, and how sure that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// It holds for the point estimates.
    pub holds: bool,
    /// The answer is the same for all values within the intervals.
    pub certain: bool,
}

pub fn condition(condition: &Condition, value_of: &dyn Fn(&str) -> Result<Interval, String>) -> Result<Outcome, Error> {
    let decider = Decider { text: &condition.text, value_of };
    let truth = decider.truth(&condition.root)?;
    Ok(Outcome { holds: truth.estimate, certain: truth.surely == truth.possibly })
}

/// `surely` implies `estimate`, which implies `possibly`.
#[derive(Clone, Copy)]
struct Truth {
    surely: bool,
    estimate: bool,
    possibly: bool,
}

struct Decider<'a> {
    text: &'a str,
    value_of: &'a dyn Fn(&str) -> Result<Interval, String>,
}

impl Decider<'_> {
    fn error(&self, expression: &Expression, what: impl Into<String>) -> Error {
        Error::new(self.text, expression.at.clone(), what)
    }

    fn truth(&self, expression: &Expression) -> Result<Truth, Error> {
        match &expression.kind {
            Kind::Not(inner) => {
                let inner = self.truth(inner)?;
                Ok(Truth { surely: !inner.possibly, estimate: !inner.estimate, possibly: !inner.surely })
            }
            Kind::Two(Operator::And, left, right) => {
                let (a, b) = (self.truth(left)?, self.truth(right)?);
                Ok(Truth {
                    surely: a.surely && b.surely,
                    estimate: a.estimate && b.estimate,
                    possibly: a.possibly && b.possibly,
                })
            }
            Kind::Two(Operator::Or, left, right) => {
                let (a, b) = (self.truth(left)?, self.truth(right)?);
                Ok(Truth {
                    surely: a.surely || b.surely,
                    estimate: a.estimate || b.estimate,
                    possibly: a.possibly || b.possibly,
                })
            }
            Kind::Two(operator, left, right) => self.comparison(expression, *operator, left, right),
            _ => Err(self.error(expression, "this is a value, not a condition: compare it with another")),
        }
    }

    fn comparison(
        &self,
        whole: &Expression,
        operator: Operator,
        left: &Expression,
        right: &Expression,
    ) -> Result<Truth, Error> {
        let (a, b) = (self.value(left)?, self.value(right)?);
        // `a < b` is `b > a`.
        let (more, less, or_equal) = match operator {
            Operator::More => (a, b, false),
            Operator::MoreOrEqual => (a, b, true),
            Operator::Less => (b, a, false),
            Operator::LessOrEqual => (b, a, true),
            _ => return Err(self.error(whole, "this is a value, not a condition: compare it with another")),
        };
        let holds = |more: f64, less: f64| if or_equal { more >= less } else { more > less };
        Ok(Truth {
            surely: holds(more.low, less.high),
            estimate: holds(more.value, less.value),
            possibly: holds(more.high, less.low),
        })
    }

    fn value(&self, expression: &Expression) -> Result<Interval, Error> {
        let value = match &expression.kind {
            Kind::Constant(value, _) => Interval::exact(*value),
            Kind::Name(name) => (self.value_of)(name).map_err(|what| self.error(expression, what))?,
            Kind::Negative(inner) => self.value(inner)?.negative(),
            Kind::Two(operator, left, right) => {
                let (a, b) = (self.value(left)?, self.value(right)?);
                match operator {
                    Operator::Plus => a.plus(b),
                    Operator::Minus => a.plus(b.negative()),
                    Operator::Times => a.times(b),
                    Operator::Divide if b.value == 0.0 => return Err(self.error(right, "this is zero")),
                    Operator::Divide => a.divided_by(b),
                    _ => return Err(self.error(expression, "this is a condition, not a value")),
                }
            }
            Kind::Not(_) => return Err(self.error(expression, "this is a condition, not a value")),
        };
        if value.value.is_finite() && value.low <= value.value && value.value <= value.high {
            Ok(value)
        } else {
            Err(self.error(expression, "this is not a number within its interval"))
        }
    }
}
