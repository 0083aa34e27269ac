//! From text to tokens.

use std::ops::Range;

use crate::dimension::{self, Dimension};
use crate::error::Error;
use crate::expression::Operator;

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Constant(f64, Dimension),
    Name(String),
    Operator(Operator),
    Not,
    Open,
    Close,
}

pub type Tokens = Vec<(Token, Range<usize>)>;

pub fn tokens(text: &str) -> Result<Tokens, Error> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (token, end) = if first.is_ascii_digit() || first == '.' {
            constant(text, at)?
        } else if first.is_alphabetic() || first == '_' {
            word(text, at)
        } else {
            symbol(text, at, first)?
        };
        tokens.push((token, at..end));
        at = end;
    }
    Ok(tokens)
}

/// The end of the run of characters from `at` that `belongs` accepts.
fn run(text: &str, at: usize, belongs: impl Fn(char) -> bool) -> usize {
    text[at..].find(|c| !belongs(c)).map_or(text.len(), |length| at + length)
}

/// A number, with a unit or without: `1.5`, `1.5us`, `1.5 us`, `5e3`, `50 %`.
fn constant(text: &str, at: usize) -> Result<(Token, usize), Error> {
    let mut end = run(text, at, |c| c.is_ascii_digit() || c == '.');
    end = exponent(text, end);
    let number = &text[at..end];
    let value: f64 = number
        .parse()
        .ok()
        .filter(|value: &f64| value.is_finite())
        .ok_or_else(|| Error::new(text, at..end, format!("{number:?} is not a number")))?;
    let from = run(text, end, char::is_whitespace);
    let to =
        if text[from..].starts_with('%') { from + 1 } else { run(text, from, |c| c.is_alphanumeric() || c == '_') };
    let name = &text[from..to];
    // `5 and ...`: a word of the language, not a unit.
    if name.is_empty() || (from > end && matches!(name, "and" | "or" | "not")) {
        return Ok((Token::Constant(value, Dimension::Number), end));
    }
    let Some((dimension, factor)) = dimension::unit(name) else {
        let units = dimension::all_units();
        return Err(Error::new(text, from..to, format!("there is no unit {name:?}; the units are {units}")));
    };
    Ok((Token::Constant(value * factor, dimension), to))
}

/// The end of an exponent that begins at `at`; `at` if there is none.
fn exponent(text: &str, at: usize) -> usize {
    if !text[at..].starts_with(['e', 'E']) {
        return at;
    }
    let sign = at + 1;
    let digits = if text[sign..].starts_with(['+', '-']) { sign + 1 } else { sign };
    let end = run(text, digits, |c| c.is_ascii_digit());
    if end > digits { end } else { at }
}

fn word(text: &str, at: usize) -> (Token, usize) {
    let end = run(text, at, |c| c.is_alphanumeric() || c == '_' || c == '.');
    let token = match &text[at..end] {
        "and" => Token::Operator(Operator::And),
        "or" => Token::Operator(Operator::Or),
        "not" => Token::Not,
        name => Token::Name(name.to_owned()),
    };
    (token, end)
}

fn symbol(text: &str, at: usize, first: char) -> Result<(Token, usize), Error> {
    const SYMBOLS: [(&str, Token); 13] = [
        ("<=", Token::Operator(Operator::LessOrEqual)),
        (">=", Token::Operator(Operator::MoreOrEqual)),
        ("&&", Token::Operator(Operator::And)),
        ("||", Token::Operator(Operator::Or)),
        ("<", Token::Operator(Operator::Less)),
        (">", Token::Operator(Operator::More)),
        ("+", Token::Operator(Operator::Plus)),
        ("-", Token::Operator(Operator::Minus)),
        ("*", Token::Operator(Operator::Times)),
        ("/", Token::Operator(Operator::Divide)),
        ("!", Token::Not),
        ("(", Token::Open),
        (")", Token::Close),
    ];
    for equal in ["==", "!=", "="] {
        if text[at..].starts_with(equal) {
            let what = format!("{equal:?} means nothing for measured values; compare with <, <=, > or >=");
            return Err(Error::new(text, at..at + equal.len(), what));
        }
    }
    match SYMBOLS.iter().find(|(symbol, _)| text[at..].starts_with(symbol)) {
        Some((symbol, token)) => Ok((token.clone(), at + symbol.len())),
        None => {
            let what = format!("{first:?} has no meaning here; the operators are < <= > >= + - * / and or not ( )");
            Err(Error::new(text, at..at + first.len_utf8(), what))
        }
    }
}
