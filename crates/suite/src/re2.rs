//! RE2's syntax on top of the crate `regex`.
//!
//! Both run in linear time without backreferences, and agree on most of the syntax. An expression
//! is rewritten where the crate would reject it or interpret it differently. Expressions that only
//! RE2 rejects are accepted.

use regex::bytes::{Regex, RegexBuilder};

/// Escapes with a different meaning in the crate, with their translation. In RE2, Perl's classes
/// are ASCII-only; the bracketed form is valid inside another class too.
const ESCAPES: [(char, &str); 9] = [
    ('d', "[0-9]"),
    ('D', "[^0-9]"),
    ('s', r"[\t\n\f\r ]"),
    ('S', r"[^\t\n\f\r ]"),
    ('w', "[0-9A-Za-z_]"),
    ('W', "[^0-9A-Za-z_]"),
    ('b', r"(?-u:\b)"),
    ('B', r"(?-u:\B)"),
    ('C', "(?s-u:.)"),
];

/// Compiles an expression that must match the whole text. As in RE2, `.` does not match a line end.
pub(crate) fn full_match(expression: &str) -> Result<Regex, String> {
    let translated = translate(expression)?;
    // Compile it alone first: inside the group, an unbalanced parenthesis could find a partner.
    compile(&translated)?;
    compile(&format!(r"\A(?:{translated})\z"))
}

/// Keeps the last line of the crate's error, which is preceded by a drawing of the expression.
fn compile(expression: &str) -> Result<Regex, String> {
    RegexBuilder::new(expression).octal(true).build().map_err(|error| {
        let text = error.to_string();
        text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}

fn translate(expression: &str) -> Result<String, String> {
    let mut out = String::with_capacity(expression.len() + 16);
    let mut rest = expression;
    let mut in_class = false;
    while let Some(char) = rest.chars().next() {
        let mut taken = char.len_utf8();
        let after = &rest[taken..];
        match char {
            '\\' => {
                let (length, text) = escape(after)?;
                taken += length;
                out.push_str(&text);
            }
            '[' if !in_class => {
                in_class = true;
                taken += usize::from(after.starts_with('^'));
                out.push_str(&rest[..taken]);
                // At the beginning of a class, `]` is an item.
                if rest[taken..].starts_with(']') {
                    taken += 1;
                    out.push_str(r"\]");
                }
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            // `[:alpha:]`
            '[' if after.starts_with(':') && after[1..].contains(":]") => {
                taken += after[1..].find(":]").map_or(0, |end| end + 3);
                out.push_str(&rest[..taken]);
            }
            // In the crate these begin a nested class or a set operation; in RE2 they are items.
            '[' | '&' | '~' if in_class => out.push_str(&regex::escape(&rest[..taken])),
            '-' if in_class && after.starts_with(['-', ']']) => out.push_str(r"\-"),
            '{' if !in_class && !is_repetition(after) => out.push_str(r"\{"),
            other => out.push(other),
        }
        rest = &rest[taken..];
    }
    Ok(out)
}

/// Translates the text after a backslash: the length of the escape and its translation.
fn escape(after: &str) -> Result<(usize, String), String> {
    let Some(char) = after.chars().next() else { return Err("a backslash at the end".to_owned()) };
    let rest = &after[char.len_utf8()..];
    if char == 'Q' {
        let quoted = rest.split_once(r"\E").map_or(rest, |(quoted, _)| quoted);
        return Ok(((r"Q\E".len() + quoted.len()).min(after.len()), regex::escape(quoted)));
    }
    // Followed by another digit, it is an octal escape.
    if matches!(char, '1'..='7') && !rest.starts_with(|next| matches!(next, '0'..='7')) {
        return Err(format!("invalid escape \\{char}: backreferences are not supported"));
    }
    let text = match ESCAPES.iter().find(|(known, _)| *known == char) {
        Some((_, text)) => (*text).to_owned(),
        // The crate supports RE2's other letters and digits, or rejects them.
        None if char.is_ascii_alphanumeric() => format!("\\{char}"),
        // One of these is `\<`, which the crate reads as a word boundary.
        None => regex::escape(&after[..char.len_utf8()]),
    };
    Ok((char.len_utf8(), text))
}

/// Whether an opening brace begins a repetition, given the text after it: `n}`, `n,}` or `n,m}`.
/// Otherwise it is literal.
fn is_repetition(after: &str) -> bool {
    let Some((counts, _)) = after.split_once('}') else { return false };
    let (least, most) = counts.split_once(',').unwrap_or((counts, ""));
    !least.is_empty() && [least, most].iter().all(|count| count.bytes().all(|byte| byte.is_ascii_digit()))
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
        matches("[[:digit:]&&[]+", &["1&["], &["a"]);
        matches(r"[é\Qa-c\E]", &["é", "-", "c"], &["b"]);
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
        for expression in ["(", "a)|(b", "[a", r"\1", r"\y", "*", r"\", r"(?=a)", "[b-a]"] {
            assert!(full_match(expression).is_err(), "{expression}");
        }
    }
}
