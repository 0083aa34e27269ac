//! From tokens to a tree.

use std::ops::Range;

use crate::error::Error;
use crate::expression::{Expression, Kind, Operator};
use crate::token::{Token, Tokens, tokens};

/// How deep parentheses and signs may nest, and how long a text may be: a tree is walked by recursion.
const DEEPEST: usize = 64;
const LONGEST: usize = 4096;

pub fn parse(text: &str) -> Result<Expression, Error> {
    if text.len() > LONGEST {
        return Err(Error::new("", 0..0, format!("the condition is {} bytes long, more than {LONGEST}", text.len())));
    }
    let tokens = tokens(text)?;
    if tokens.is_empty() {
        return Err(Error::new(text, 0..0, "the condition is empty: write one such as native.p50 > 0.5 * wasm.p50"));
    }
    let mut parser = Parser { text, tokens, next: 0, depth: 0 };
    let root = parser.condition()?;
    match parser.peek() {
        None => Ok(root),
        Some(Token::Close) => Err(parser.error("this closes no parenthesis")),
        Some(Token::Operator(operator)) if is_comparison(*operator) => {
            Err(parser.error("comparisons do not chain: join two of them with `and`"))
        }
        Some(_) => Err(parser.error("an operator is missing before this")),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Tokens,
    next: usize,
    depth: usize,
}

fn is_comparison(operator: Operator) -> bool {
    matches!(operator, Operator::Less | Operator::LessOrEqual | Operator::More | Operator::MoreOrEqual)
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(token, _)| token)
    }

    /// Where the next token is, or where it is missing.
    fn place(&self) -> Range<usize> {
        self.tokens.get(self.next).map_or(self.text.len()..self.text.len(), |(_, at)| at.clone())
    }

    fn error(&self, what: &str) -> Error {
        Error::new(self.text, self.place(), what)
    }

    /// The next token, if it is one of these operators.
    fn operator(&mut self, among: &[Operator]) -> Option<Operator> {
        match self.peek() {
            Some(Token::Operator(operator)) if among.contains(operator) => {
                let operator = *operator;
                self.next += 1;
                Some(operator)
            }
            _ => None,
        }
    }

    /// Operands of one precedence, joined from the left.
    fn chain(
        &mut self,
        among: &[Operator],
        operand: fn(&mut Self) -> Result<Expression, Error>,
    ) -> Result<Expression, Error> {
        let mut left = operand(self)?;
        while let Some(operator) = self.operator(among) {
            left = Expression::two(operator, left, operand(self)?);
        }
        Ok(left)
    }

    fn condition(&mut self) -> Result<Expression, Error> {
        self.chain(&[Operator::Or], Self::conjunction)
    }

    fn conjunction(&mut self) -> Result<Expression, Error> {
        self.chain(&[Operator::And], Self::negation)
    }

    fn negation(&mut self) -> Result<Expression, Error> {
        if self.peek() != Some(&Token::Not) {
            return self.comparison();
        }
        self.prefixed(Kind::Not, Self::negation)
    }

    fn comparison(&mut self) -> Result<Expression, Error> {
        let left = self.sum()?;
        let comparisons = [Operator::Less, Operator::LessOrEqual, Operator::More, Operator::MoreOrEqual];
        Ok(match self.operator(&comparisons) {
            None => left,
            Some(operator) => Expression::two(operator, left, self.sum()?),
        })
    }

    fn sum(&mut self) -> Result<Expression, Error> {
        self.chain(&[Operator::Plus, Operator::Minus], Self::product)
    }

    fn product(&mut self) -> Result<Expression, Error> {
        self.chain(&[Operator::Times, Operator::Divide], Self::sign)
    }

    fn sign(&mut self) -> Result<Expression, Error> {
        if self.peek() != Some(&Token::Operator(Operator::Minus)) {
            return self.operand();
        }
        self.prefixed(Kind::Negative, Self::sign)
    }

    /// Steps over the next token, reads what it applies to, and joins the two.
    fn prefixed(
        &mut self,
        kind: fn(Box<Expression>) -> Kind,
        operand: fn(&mut Self) -> Result<Expression, Error>,
    ) -> Result<Expression, Error> {
        let start = self.place().start;
        let inner = self.deeper(operand)?;
        let at = start..inner.at.end;
        Ok(Expression { kind: kind(Box::new(inner)), at })
    }

    fn operand(&mut self) -> Result<Expression, Error> {
        let at = self.place();
        let kind = match self.peek() {
            Some(Token::Constant(value, dimension)) => Kind::Constant(*value, *dimension),
            Some(Token::Name(name)) => Kind::Name(name.clone()),
            Some(Token::Open) => return self.parentheses(),
            Some(_) => return Err(self.error("a name, a number or a parenthesis is missing before this")),
            None => return Err(self.error("the condition ends where a name, a number or a parenthesis is missing")),
        };
        self.next += 1;
        Ok(Expression { kind, at })
    }

    fn parentheses(&mut self) -> Result<Expression, Error> {
        let open = self.place();
        let inner = self.deeper(Self::condition)?;
        if self.peek() != Some(&Token::Close) {
            return Err(Error::new(self.text, open, "this parenthesis is not closed"));
        }
        let at = open.start..self.place().end;
        self.next += 1;
        Ok(Expression { at, ..inner })
    }

    /// Steps over the next token, and reads what nests after it.
    fn deeper(&mut self, read: fn(&mut Self) -> Result<Expression, Error>) -> Result<Expression, Error> {
        if self.depth == DEEPEST {
            return Err(self.error("this nests too deep"));
        }
        self.next += 1;
        self.depth += 1;
        let inner = read(self);
        self.depth -= 1;
        inner
    }
}
