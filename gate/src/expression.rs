//! A condition's tree.

use std::ops::Range;

use crate::dimension::Dimension;

#[derive(Clone, Debug)]
pub struct Expression {
    pub kind: Kind,
    /// Its place in the text.
    pub at: Range<usize>,
}

#[derive(Clone, Debug)]
pub enum Kind {
    /// In nanoseconds, bytes, or as it is.
    Constant(f64, Dimension),
    Name(String),
    Negative(Box<Expression>),
    Not(Box<Expression>),
    Two(Operator, Box<Expression>, Box<Expression>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Or,
    And,
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
    Plus,
    Minus,
    Times,
    Divide,
}

impl Expression {
    pub fn two(operator: Operator, left: Expression, right: Expression) -> Expression {
        let at = left.at.start..right.at.end;
        Expression { kind: Kind::Two(operator, Box::new(left), Box::new(right)), at }
    }

    /// Visits it and all in it, from left to right.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Expression)) {
        visit(self);
        match &self.kind {
            Kind::Constant(..) | Kind::Name(_) => {}
            Kind::Negative(inner) | Kind::Not(inner) => inner.walk(visit),
            Kind::Two(_, left, right) => {
                left.walk(visit);
                right.walk(visit);
            }
        }
    }
}
