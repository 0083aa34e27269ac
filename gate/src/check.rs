//! Whether names are known and dimensions fit together.

use std::ops::Range;

use crate::Condition;
use crate::dimension::{Dimension, units_of};
use crate::error::Error;
use crate::expression::{Expression, Kind, Operator};

/// What an expression is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Condition,
    Value(Dimension),
}

pub fn condition(condition: &Condition, dimension_of: &dyn Fn(&str) -> Option<Dimension>) -> Result<(), Error> {
    let checker = Checker { text: &condition.text, dimension_of };
    match checker.type_of(&condition.root)? {
        Type::Condition => Ok(()),
        Type::Value(_) => {
            Err(checker.error(&condition.root.at, "this is a value, not a condition: compare it with another"))
        }
    }
}

struct Checker<'a> {
    text: &'a str,
    dimension_of: &'a dyn Fn(&str) -> Option<Dimension>,
}

impl Checker<'_> {
    fn error(&self, at: &Range<usize>, what: impl Into<String>) -> Error {
        Error::new(self.text, at.clone(), what)
    }

    fn type_of(&self, expression: &Expression) -> Result<Type, Error> {
        Ok(match &expression.kind {
            Kind::Constant(_, dimension) => Type::Value(*dimension),
            Kind::Name(name) => match (self.dimension_of)(name) {
                Some(dimension) => Type::Value(dimension),
                None => return Err(self.error(&expression.at, format!("nothing is named {name}"))),
            },
            Kind::Negative(inner) => Type::Value(self.value(inner)?),
            Kind::Not(inner) => {
                self.is_condition(inner)?;
                Type::Condition
            }
            Kind::Two(operator, left, right) => self.type_of_two(*operator, left, right)?,
        })
    }

    fn type_of_two(&self, operator: Operator, left: &Expression, right: &Expression) -> Result<Type, Error> {
        match operator {
            Operator::And | Operator::Or => {
                self.is_condition(left)?;
                self.is_condition(right)?;
                Ok(Type::Condition)
            }
            Operator::Times | Operator::Divide => self.scaled(operator, left, right),
            Operator::Plus | Operator::Minus => Ok(Type::Value(self.same(left, right, "added to or taken from")?)),
            Operator::Less | Operator::LessOrEqual | Operator::More | Operator::MoreOrEqual => {
                self.same(left, right, "compared with")?;
                Ok(Type::Condition)
            }
        }
    }

    fn value(&self, expression: &Expression) -> Result<Dimension, Error> {
        match self.type_of(expression)? {
            Type::Value(dimension) => Ok(dimension),
            Type::Condition => Err(self.error(&expression.at, "this is a condition, not a value")),
        }
    }

    fn is_condition(&self, expression: &Expression) -> Result<(), Error> {
        match self.type_of(expression)? {
            Type::Condition => Ok(()),
            Type::Value(_) => {
                Err(self.error(&expression.at, "this is a value, not a condition: compare it with another"))
            }
        }
    }

    /// Both sides have to be of one dimension.
    fn same(&self, left: &Expression, right: &Expression, verb: &str) -> Result<Dimension, Error> {
        let (a, b) = (self.value(left)?, self.value(right)?);
        if a == b {
            return Ok(a);
        }
        let mut what = format!("{b} cannot be {verb} {a}");
        let (number, other) = if a == Dimension::Number { (left, b) } else { (right, a) };
        if (a == Dimension::Number || b == Dimension::Number) && matches!(number.kind, Kind::Constant(..)) {
            what += &format!("; give it a unit: {}", units_of(other));
        }
        Err(self.error(&number.at, what))
    }

    /// Something may be scaled by a plain number, and two of a kind have a ratio.
    fn scaled(&self, operator: Operator, left: &Expression, right: &Expression) -> Result<Type, Error> {
        use Dimension::Number;
        let (a, b) = (self.value(left)?, self.value(right)?);
        let dimension = match (operator, a, b) {
            (_, a, Number) => a,
            (Operator::Times, Number, b) => b,
            (Operator::Divide, a, b) if a == b => Number,
            (Operator::Times, a, b) => return Err(self.error(&right.at, format!("{a} times {b} is not a value"))),
            (_, a, b) => return Err(self.error(&right.at, format!("{a} divided by {b} is not a value"))),
        };
        Ok(Type::Value(dimension))
    }
}
