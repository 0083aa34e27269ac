//! RE2's syntax on top of the crate `regex`.
//!
//! The two agree on most of it and are of the same kind: linear time, no references back. Here an expression is rewritten where they differ:
//! in RE2 `\d`, `\w`, `\s` and `\b` are of ASCII, a brace that repeats nothing stands for itself, as does `[`, `&`, `-` or `~` in a class,
//! `\<` is no boundary of a word, and there are `\Q...\E`, `\C` and octal escapes.

use std::iter::Peekable;
use std::str::Chars;

use regex::bytes::Regex;

/// Compiles an expression that has to match all of a text. `.` matches no line end, as in RE2.
pub(crate) fn full_match(expression: &str) -> Result<Regex, String> {
    let translated = Translator::new(expression).translate()?;
    // By itself first: in the group an unbalanced parenthesis could find a partner.
    let alone = Regex::new(&translated).map_err(|error| reason(&error))?;
    drop(alone);
    Regex::new(&format!(r"\A(?:{translated})\z")).map_err(|error| reason(&error))
}

/// The last line of what the crate says, which draws the expression before it.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

struct Translator<'a> {
    chars: Peekable<Chars<'a>>,
    out: String,
}

impl<'a> Translator<'a> {
    fn new(expression: &'a str) -> Translator<'a> {
        Translator { chars: expression.chars().peekable(), out: String::with_capacity(expression.len() + 16) }
    }

    fn translate(mut self) -> Result<String, String> {
        while let Some(char) = self.chars.next() {
            match char {
                '\\' => self.escape(false)?,
                '[' => self.class()?,
                '{' => self.brace(),
                '(' => self.group()?,
                // Only in a mode that RE2 does not have would they mean something.
                other => self.out.push(other),
            }
        }
        Ok(self.out)
    }

    /// What follows a backslash.
    fn escape(&mut self, in_class: bool) -> Result<(), String> {
        let char = self.chars.next().ok_or("a backslash at the end")?;
        let ascii = |items: &str, negated: bool| match (in_class, negated) {
            (true, false) => items.to_owned(),
            (_, negated) => format!("[{}{items}]", if negated { "^" } else { "" }),
        };
        let text = match char {
            'd' | 'D' => ascii("0-9", char == 'D'),
            's' | 'S' => ascii(r"\t\n\f\r ", char == 'S'),
            'w' | 'W' => ascii("0-9A-Za-z_", char == 'W'),
            'b' | 'B' if !in_class => format!(r"(?-u:\{char})"),
            'C' if !in_class => r"(?s-u:.)".to_owned(),
            'Q' => return self.quotation(),
            '0'..='7' => self.octal(char)?,
            'A' | 'a' | 'f' | 'n' | 'P' | 'p' | 'r' | 't' | 'v' | 'x' | 'z' => format!("\\{char}"),
            other if other.is_ascii_alphanumeric() => return Err(format!("invalid escape \\{other}")),
            other => {
                self.literal(other);
                return Ok(());
            }
        };
        self.out.push_str(&text);
        Ok(())
    }

    /// `\Q...\E`: to the end, if that is missing.
    fn quotation(&mut self) -> Result<(), String> {
        while let Some(char) = self.chars.next() {
            if char == '\\' && self.chars.peek() == Some(&'E') {
                self.chars.next();
                break;
            }
            self.literal(char);
        }
        Ok(())
    }

    /// Up to three octal digits. A single one but 0 would be a reference back.
    fn octal(&mut self, first: char) -> Result<String, String> {
        let mut digits = String::from(first);
        while digits.len() < 3
            && let Some(digit) = self.chars.next_if(|next| ('0'..='7').contains(next))
        {
            digits.push(digit);
        }
        if digits.len() == 1 && first != '0' {
            return Err(format!("invalid escape \\{first}: there are no references back"));
        }
        let value = u32::from_str_radix(&digits, 8).map_err(|error| error.to_string())?;
        Ok(format!(r"\x{{{value:x}}}"))
    }

    fn literal(&mut self, char: char) {
        self.out.push_str(&regex::escape(char.encode_utf8(&mut [0; 4])));
    }

    /// `[...]`.
    fn class(&mut self) -> Result<(), String> {
        self.out.push('[');
        if self.chars.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        // At the beginning it is an item.
        if self.chars.next_if_eq(&']').is_some() {
            self.out.push_str(r"\]");
        }
        while let Some(char) = self.chars.next() {
            match char {
                ']' => {
                    self.out.push(']');
                    return Ok(());
                }
                '\\' => self.escape(true)?,
                '[' if self.chars.peek() == Some(&':') => self.named_class(),
                '[' | '&' | '~' => self.literal(char),
                // Twice it would be a difference of sets; before the end it is an item.
                '-' if matches!(self.chars.peek(), Some('-' | ']')) => self.out.push_str(r"\-"),
                other => self.out.push(other),
            }
        }
        Err("missing closing ]".to_owned())
    }

    /// `[:alpha:]`, or a bracket that stands for itself.
    fn named_class(&mut self) {
        let name: String =
            self.chars.clone().skip(1).take_while(|char| char.is_ascii_lowercase() || *char == '^').collect();
        let mut end = self.chars.clone().skip(1 + name.len());
        if end.next() == Some(':') && end.next() == Some(']') {
            self.out.push_str(&format!("[:{name}:]"));
            self.chars = end_of(&self.chars, name.len() + 3);
        } else {
            self.literal('[');
        }
    }

    /// A repetition, or a brace that stands for itself.
    fn brace(&mut self) {
        let mut rest = self.chars.clone();
        let mut text = String::new();
        for char in rest.by_ref() {
            text.push(char);
            if !(char.is_ascii_digit() || char == ',') {
                break;
            }
        }
        let counts = text.strip_suffix('}').map(|counts| counts.split(',').collect::<Vec<_>>());
        let is_number = |text: &&str| !text.is_empty();
        let repeats = counts.is_some_and(|counts| match counts.as_slice() {
            [count] => is_number(count),
            [least, _] => is_number(least),
            _ => false,
        });
        if repeats {
            self.out.push('{');
            self.out.push_str(&text);
            self.chars = rest;
        } else {
            self.out.push_str(r"\{");
        }
    }

    /// An opening parenthesis with what makes it special. Flags that only the crate has are refused.
    fn group(&mut self) -> Result<(), String> {
        self.out.push('(');
        if self.chars.peek() != Some(&'?') {
            return Ok(());
        }
        let flags: String =
            self.chars.clone().skip(1).take_while(|char| char.is_ascii_alphabetic() || *char == '-').collect();
        let after = self.chars.clone().nth(1 + flags.len());
        let is_name = flags == "P" || (flags.is_empty() && after == Some('<'));
        if !is_name && flags.contains(|flag| !"imsU-".contains(flag)) {
            return Err(format!("invalid flags (?{flags}"));
        }
        Ok(())
    }
}

fn end_of<'a>(chars: &Peekable<Chars<'a>>, count: usize) -> Peekable<Chars<'a>> {
    let mut chars = chars.clone();
    for _ in 0..count {
        chars.next();
    }
    chars
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn matches(expression: &str, yes: &[&str], no: &[&str]) {
        let regex = full_match(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
        for (texts, expected) in [(yes, true), (no, false)] {
            for text in texts {
                assert_eq!(regex.is_match(text.as_bytes()), expected, "{expression} {text:?}");
            }
        }
    }

    #[test]
    fn all_of_the_text() {
        matches("a|ab", &["a", "ab"], &["abc", "ba", ""]);
        matches("", &[""], &["a"]);
        matches(".*b", &["b", "aab"], &["b\n", "a\nb"]);
        matches("(?s).*b", &["a\nb"], &[]);
        matches("(?m)a$\n^b", &["a\nb"], &[]);
        matches("(?i)É", &["é"], &["e"]);
        matches("(?P<name>a)(?<other>b)(?:c)(?i:d)", &["abcD"], &[]);
    }

    #[test]
    fn classes_of_ascii() {
        matches(r"\d+", &["12"], &["١"]);
        matches(r"[\d-]+", &["1-2"], &["a"]);
        matches(r"[^\D]", &["1"], &["a"]);
        matches(r"\w", &["_"], &["é"]);
        matches(r"\W", &["é"], &["a"]);
        matches(r"\s\S", &[" a"], &["\u{a0}a", "\u{b}a"]);
        matches(r"a\b.", &["aé"], &["ab"]);
        matches("[[:xdigit:][:^alpha:]]+", &["a1"], &["z"]);
    }

    #[test]
    fn what_stands_for_itself() {
        matches(r#"{"a": [}\]]"#, &[r#"{"a": }"#, r#"{"a": ]"#], &[]);
        matches("a{,2}b{x}", &["a{,2}b{x}"], &["aab"]);
        matches("a{2}b{1,}c{1,2}", &["aabcc"], &["abc"]);
        matches("[[a]", &["[", "a"], &["b"]);
        matches("[]a]", &["]", "a"], &["b"]);
        matches("[^]a]", &["b"], &["]"]);
        matches("[a&&b]", &["a", "&"], &["c"]);
        matches("[a~~b--]", &["~", "-"], &["c"]);
        matches("[[:not]", &["[", ":"], &["x"]);
        matches(r"\<\>\-\/\_\ ", &["<>-/_ "], &[]);
        matches(r"\Qa.b*\E+", &["a.b**"], &["axb*"]);
        matches(r"\Qa\b", &[r"a\b"], &[]);
        matches(r"\101\x41\x{41}\0", &["AAA\0"], &[]);
        matches(r"[\101\n]", &["A", "\n"], &[]);
    }

    #[test]
    fn bytes_that_are_no_text() {
        assert!(full_match(r"a\C").unwrap().is_match(b"a\xff"));
        assert!(!full_match("a.").unwrap().is_match(b"a\xff"));
    }

    #[test]
    fn mistakes() {
        for expression in ["(", "a)|(b", "[a", r"\1", r"\y", "(?x)a", "(?R)a", "(?u)a", "*", r"\", r"(?=a)", "[b-a]"] {
            assert!(full_match(expression).is_err(), "{expression}");
        }
    }
}
