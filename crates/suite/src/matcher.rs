//! String matchers: one of several strings matches, or, inverted, none does.

use std::path::Path;

use regex::bytes::Regex;

use crate::files;
use crate::model::{Pattern, StringMatcher};
use crate::re2;

/// A prepared matcher.
pub(crate) struct Matcher<'a> {
    invert: bool,
    test: Test<'a>,
}

enum Test<'a> {
    Exact(std::borrow::Cow<'a, [u8]>),
    Regex(&'a str, Regex),
}

impl<'a> Matcher<'a> {
    /// Prepares a matcher. The error describes an invalid one.
    pub(crate) fn new(matcher: &'a StringMatcher, suite: &Path) -> Result<Matcher<'a>, String> {
        let test = match &matcher.pattern {
            None => return Err("a matcher without `exact`, `regex` or `file`".to_owned()),
            Some(Pattern::Exact(bytes)) => Test::Exact(bytes.into()),
            Some(Pattern::File(file)) => Test::Exact(files::read_beside(suite, file)?.into()),
            Some(Pattern::Regex(expression)) => {
                let compiled = re2::full_match(expression);
                Test::Regex(expression, compiled.map_err(|error| format!("bad regex {expression:?}: {error}"))?)
            }
        };
        Ok(Matcher { invert: matcher.invert, test })
    }

    /// Whether one of the strings matches, or, inverted, none. Without strings, nothing matches.
    pub(crate) fn holds<'b>(&self, strings: impl IntoIterator<Item = &'b [u8]>) -> bool {
        let matches = |string: &[u8]| match &self.test {
            Test::Exact(exact) => string == &**exact,
            Test::Regex(_, regex) => regex.is_match(string),
        };
        strings.into_iter().any(matches) != self.invert
    }

    /// The expectation in words, for a kind of string.
    pub(crate) fn expectation(&self, kind: &str) -> String {
        let what = match &self.test {
            Test::Exact(exact) => format!("{:?}", String::from_utf8_lossy(exact)),
            Test::Regex(expression, _) => format!("matching {expression:?}"),
        };
        format!("{} {kind} {what}", if self.invert { "no" } else { "a" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_several_or_none() {
        let exact = |invert| StringMatcher { invert, pattern: Some(Pattern::Exact(b"b".into())) };
        let regex = |invert| StringMatcher { invert, pattern: Some(Pattern::Regex("b+".into())) };
        for (strings, found) in [(&[&b"a"[..], b"b"][..], true), (&[b"a", b"ab"], false), (&[], false)] {
            for of in [exact, regex] {
                for invert in [false, true] {
                    let matcher = of(invert);
                    let matcher = Matcher::new(&matcher, Path::new("suite")).unwrap();
                    assert_eq!(matcher.holds(strings.iter().copied()), found != invert, "{strings:?}");
                }
            }
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (pattern, expected) in [
            (None, "without `exact`"),
            (Some(Pattern::Regex("(".into())), "bad regex \"(\""),
            (Some(Pattern::File("nowhere.data".into())), "dir/nowhere.data: cannot be read"),
        ] {
            let matcher = StringMatcher { invert: true, pattern };
            let error = Matcher::new(&matcher, Path::new("dir/suite")).err().unwrap();
            assert!(error.contains(expected), "{expected:?} is in {error:?}");
        }
    }
}
