//! `NAME OP VALUE[UNIT]`: parses a threshold and reports errors with their position.

use std::fmt;
use std::ops::Range;

/// The dimension of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// A ratio or a count.
    Number,
    /// Nanoseconds.
    Time,
    /// Bytes.
    Size,
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dimension::Number => "a plain number",
            Dimension::Time => "a time",
            Dimension::Size => "a size",
        })
    }
}

const UNITS: [(&str, Dimension, f64); 9] = [
    ("ns", Dimension::Time, 1.0),
    ("us", Dimension::Time, 1e3),
    ("ms", Dimension::Time, 1e6),
    ("s", Dimension::Time, 1e9),
    ("B", Dimension::Size, 1.0),
    ("KiB", Dimension::Size, 1024.0),
    ("MiB", Dimension::Size, 1_048_576.0),
    ("GiB", Dimension::Size, 1_073_741_824.0),
    ("%", Dimension::Number, 0.01),
];

/// The units of one dimension, or of all, for messages.
fn units(of: Option<Dimension>) -> String {
    let fits = |dimension: Dimension| of.is_none_or(|of| of == dimension);
    let names: Vec<&str> = UNITS.iter().filter(|(_, dimension, _)| fits(*dimension)).map(|(name, ..)| *name).collect();
    names.join(", ")
}

type Comparison = fn(&f64, &f64) -> bool;

const OPERATORS: [(&str, Comparison); 4] = [("<", f64::lt), ("<=", f64::le), (">", f64::gt), (">=", f64::ge)];

/// A comparison of a named value with a constant.
#[derive(Clone, Debug)]
pub struct Condition {
    text: String,
    name: Range<usize>,
    comparison: Comparison,
    constant: Range<usize>,
    /// Limit in nanoseconds, in bytes, or as a plain number.
    limit: f64,
    dimension: Dimension,
}

impl Condition {
    /// Parses a condition.
    ///
    /// # Errors
    ///
    /// The text is not a condition.
    pub fn parse(text: &str) -> Result<Condition, Error> {
        let mut scanner = Scanner { text, at: 0 };
        let name = scanner.run("a name such as native.p50", |c| c.is_alphanumeric() || matches!(c, '_' | '.'))?;
        let operator = scanner.run("an operator: < <= > >=", |c| "<>=!&|+-*/".contains(c))?;
        let Some((_, comparison)) = OPERATORS.iter().find(|(known, _)| *known == &text[operator.clone()]) else {
            let what = format!("unknown operator {:?}; compare with <, <=, > or >=", &text[operator.clone()]);
            return Err(Error::new(text, operator, what));
        };
        let number = scanner.run("a number", |c| c.is_ascii_digit() || c == '.')?;
        let value = text[number.clone()].parse().ok().filter(|value: &f64| value.is_finite());
        let value = value
            .ok_or_else(|| Error::new(text, number.clone(), format!("{:?} is not a number", &text[number.clone()])))?;
        let (factor, dimension, end) = match scanner.run("", |c| c.is_alphanumeric() || c == '%') {
            Err(_) => (1.0, Dimension::Number, number.end),
            Ok(unit) => {
                let Some((_, dimension, factor)) = UNITS.iter().find(|(known, ..)| *known == &text[unit.clone()])
                else {
                    // A further part follows the number, not a unit.
                    Scanner { text, at: unit.end }
                        .end()
                        .map_err(|error| Error { at: unit.start..error.at.end, ..error })?;
                    let what = format!("unknown unit {:?}; the units are {}", &text[unit.clone()], units(None));
                    return Err(Error::new(text, unit, what));
                };
                (*factor, *dimension, unit.end)
            }
        };
        scanner.end()?;
        let (text, constant) = (text.to_owned(), number.start..end);
        Ok(Condition { text, name, comparison: *comparison, constant, limit: value * factor, dimension })
    }

    /// The source text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The name of the metric.
    pub fn name(&self) -> &str {
        &self.text[self.name.clone()]
    }

    /// Whether the condition holds for a value in nanoseconds, in bytes, or as a plain number.
    pub fn holds(&self, value: f64) -> bool {
        (self.comparison)(&value, &self.limit)
    }

    /// Checks that the constant has the dimension of the metric.
    ///
    /// # Errors
    ///
    /// The dimensions differ; the error marks the constant.
    pub fn check(&self, dimension: Dimension) -> Result<(), Error> {
        if self.dimension == dimension {
            return Ok(());
        }
        let mut what = format!("{} cannot be compared with {dimension}", self.dimension);
        if self.dimension == Dimension::Number {
            what += &format!("; give it a unit: {}", units(Some(dimension)));
        }
        Err(Error::new(&self.text, self.constant.clone(), what))
    }

    /// An error that marks the name.
    pub fn error_at_name(&self, what: impl Into<String>) -> Error {
        Error::new(&self.text, self.name.clone(), what)
    }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl Scanner<'_> {
    fn skip_white_space(&mut self) {
        self.at = self.text.len() - self.text[self.at..].trim_start().len();
    }

    /// Skips white space and takes the characters that belong together.
    fn run(&mut self, expected: &str, belongs: impl Fn(char) -> bool) -> Result<Range<usize>, Error> {
        self.skip_white_space();
        let rest = &self.text[self.at..];
        let length = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        if length == 0 {
            let next = self.at..self.at + rest.split_whitespace().next().map_or(0, str::len);
            return Err(Error::new(self.text, next, format!("expected {expected}")));
        }
        self.at += length;
        Ok(self.at - length..self.at)
    }

    fn end(&mut self) -> Result<(), Error> {
        self.skip_white_space();
        if self.at == self.text.len() {
            return Ok(());
        }
        let what = "a condition is one comparison with a constant: repeat --fail-if for several conditions, \
                    and compare the builds with ratio.* (native to wasm)";
        Err(Error::new(self.text, self.at..self.text.trim_end().len(), what))
    }
}

/// An error in a condition, with its position in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    text: String,
    pub(super) at: Range<usize>,
    pub(super) what: String,
}

impl Error {
    fn new(text: &str, at: Range<usize>, what: impl Into<String>) -> Error {
        Error { text: text.to_owned(), at, what: what.into() }
    }
}

impl fmt::Display for Error {
    /// The message, the text with the position marked, then further lines of the message:
    ///
    /// ```text
    /// column 14: a plain number cannot be compared with a time; give it a unit: ns, us, ms, s
    ///   native.p50 > 5
    ///                ^
    /// ```
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.text[..self.at.start].chars().count();
        let marked = self.text[self.at.clone()].chars().count().max(1);
        // A control character in the text would move the mark.
        let line: String = self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let (what, more) = self.what.split_once('\n').unwrap_or((&self.what, ""));
        write!(f, "column {}: {what}\n  {line}\n  {}{}", before + 1, " ".repeat(before), "^".repeat(marked))?;
        if more.is_empty() { Ok(()) } else { write!(f, "\n{more}") }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Condition, Error> {
        let condition = Condition::parse(text)?;
        let dimension = match condition.name() {
            "a.time" => Dimension::Time,
            "a.size" => Dimension::Size,
            _ => Dimension::Number,
        };
        condition.check(dimension)?;
        Ok(condition)
    }

    #[test]
    fn conditions_hold_or_not() {
        for (text, value, holds) in [
            ("a.time > 0.9us", 1000.0, true),
            ("a.time>1us", 1000.0, false),
            ("a.time >= 1us", 1000.0, true),
            ("a.time < 1 us", 1000.0, false),
            (" a.time <= 1 us ", 1000.0, true),
            ("a.time < 2ms", 2e6 - 1.0, true),
            ("a.time < 2s", 2e9 - 1.0, true),
            ("a.time < 1.5ns", 1.4, true),
            ("a.size > 2KiB", 2048.0, false),
            ("a.size > 2 B", 2048.0, true),
            ("a.size >= 1 MiB", 1_048_576.0, true),
            ("a.size > 1 GiB", 1_048_576.0, false),
            ("ratio > 50%", 0.48, false),
            ("ratio > 50 %", 0.51, true),
            ("ratio > .5", 0.51, true),
            ("ratio < 1.", 0.51, true),
        ] {
            let condition = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(condition.holds(value), holds, "{text} with {value}");
            assert_eq!(condition.text(), text);
        }
    }

    #[test]
    fn mistakes_are_shown_in_their_place() {
        let one_comparison = "a condition is one comparison with a constant";
        for (text, place, message) in [
            ("", "", "expected a name"),
            ("  ", "", "expected a name"),
            ("> 1us", ">", "expected a name"),
            ("(a.time > 1us)", "(a.time", "expected a name"),
            ("a.time", "", "expected an operator"),
            ("a.time 1us", "1us", "expected an operator"),
            ("a.time >", "", "expected a number"),
            ("a.time > b.time", "b.time", "expected a number"),
            ("a.time > -1us", "-1us", "expected a number"),
            ("a.time == 1us", "==", "unknown operator \"==\"; compare with <, <=, > or >="),
            ("a.time != 1us", "!=", "unknown operator \"!=\""),
            ("a.time = 1us", "=", "unknown operator \"=\""),
            ("a.time * 2 > 1us", "*", "unknown operator \"*\""),
            ("a.time > 0.5 * b.time", "* b.time", one_comparison),
            ("a.time > 1us or ratio > 1", "or ratio > 1", one_comparison),
            ("a.time < 1us < 2us", "< 2us", one_comparison),
            ("ratio > 1 or a.time > 1us", "or a.time > 1us", one_comparison),
            ("a.time > 1us) ", ")", one_comparison),
            ("a.time > 1µs", "µs", "unknown unit \"µs\"; the units are ns, us, ms, s, B, KiB, MiB, GiB, %"),
            ("a.time > 1 parsec", "parsec", "unknown unit \"parsec\""),
            ("a.time > 1e3ns", "e3ns", "unknown unit \"e3ns\""),
            ("a.time > 1.2.3us", "1.2.3", "\"1.2.3\" is not a number"),
            ("a.time > 5", "5", "a plain number cannot be compared with a time; give it a unit: ns, us, ms, s"),
            ("a.size > 5", "5", "give it a unit: B, KiB, MiB, GiB"),
            ("a.size > 5 us", "5 us", "a time cannot be compared with a size"),
            ("ratio > 5us", "5us", "a time cannot be compared with a plain number"),
        ] {
            let error = read(text).expect_err(text);
            assert_eq!(&text[error.at.clone()], place, "{text}: {error}");
            assert!(error.what.contains(message), "{text}: {error}");
        }
        let digits = format!("ratio > {}", "9".repeat(400));
        assert!(read(&digits).unwrap_err().what.contains("is not a number"), "it is greater than any");
    }

    #[test]
    fn an_error_is_printed_with_a_mark() {
        let error = read("a.time > 5").unwrap_err().to_string();
        assert!(error.starts_with("column 10: a plain number"), "{error}");
        assert!(error.ends_with("\n  a.time > 5\n           ^"), "{error}");
        // Columns are counted in characters, and a line break in the text prints as a space.
        let error = read("ä.é >\n1").unwrap().error_at_name("no such value\nmore").to_string();
        assert_eq!(error, "column 1: no such value\n  ä.é > 1\n  ^^^\nmore");
    }

    /// No text causes a panic, and every error has its position within the text.
    #[test]
    fn any_text_is_taken() {
        let pieces = ["a.time", "ratio", "1", "0.5", "2us", "µ", "(", "or", ">", "<=", "-", "*", "%", "é", "\n", " "];
        let mut state = 1u64;
        let mut read_well = 0;
        for _ in 0..200_000 {
            let mut text = String::new();
            for _ in 0..(state >> 60) % 6 + 1 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text += pieces[(state >> 33) as usize % pieces.len()];
            }
            match read(&text) {
                Ok(_) => read_well += 1,
                Err(error) => {
                    assert!(text.get(error.at.clone()).is_some() && !error.to_string().is_empty(), "{text:?}")
                }
            }
        }
        assert!(read_well > 100, "{read_well} of them are conditions");
    }
}
