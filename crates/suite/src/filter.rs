//! Test filters in GoogleTest's syntax.

/// Name patterns with `*` and `?`, separated by colons; patterns after a minus are excluded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    wanted: Vec<Vec<u8>>,
    unwanted: Vec<Vec<u8>>,
}

impl Filter {
    /// Parses a filter.
    pub fn new(text: &str) -> Filter {
        let patterns = |text: &str| text.split(':').filter(|p| !p.is_empty()).map(|p| p.as_bytes().to_vec()).collect();
        let (wanted, unwanted) = text.split_once('-').unwrap_or((text, ""));
        Filter { wanted: patterns(wanted), unwanted: patterns(unwanted) }
    }

    /// Whether a test or a benchmark is selected, by its name or by its id, e.g. `Test_native.NAME`.
    pub fn takes(&self, id: &str, name: &str) -> bool {
        let any = |patterns: &[Vec<u8>]| {
            patterns.iter().any(|pattern| matches(pattern, id.as_bytes()) || matches(pattern, name.as_bytes()))
        };
        (self.wanted.is_empty() || any(&self.wanted)) && !any(&self.unwanted)
    }
}

/// Matches with a single backtrack position, so that no pattern is slow.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                p = at + 1;
                t = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_googletest_has_them() {
        let takes = |filter: &str, name: &str| Filter::new(filter).takes(&format!("Test_native.{name}"), name);
        for (filter, yes, no) in [
            ("", &["a", "b"][..], &[][..]),
            ("a", &["a"], &["ab", "b"]),
            ("a*:?c", &["a", "abc", "bc"], &["bcd", "c"]),
            ("-a*", &["b"], &["a", "ab"]),
            ("*b*-ab:b?", &["b", "cb"], &["ab", "bc", "c"]),
            ("Test_native.*", &["a"], &[]),
            ("Test_wasm.*", &[], &["a"]),
            ("*x*x*z", &["yxxz", "xxz"], &["xz", "xxzx"]),
        ] {
            assert!(yes.iter().all(|name| takes(filter, name)), "{filter}");
            assert!(!no.iter().any(|name| takes(filter, name)), "{filter}");
        }
    }
}
