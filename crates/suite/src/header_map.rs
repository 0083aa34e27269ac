//! The header map of suites: one line per name, sorted by name.

use std::cmp::Ordering;

use dynvm::host::HeaderMap;

/// Headers sorted by name, ignoring case, as in the wasm-tester.
///
/// The first spelling of a name is kept; an added value is appended with a comma, as RFC 9110 allows a recipient to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SortedHeaders {
    lines: Vec<(Vec<u8>, Vec<u8>)>,
}

impl SortedHeaders {
    /// The lines in sorted order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    fn find(&self, name: &[u8]) -> Result<usize, usize> {
        self.lines.binary_search_by(|(other, _)| compare(other, name))
    }
}

/// Order of names: by upper-case letters, so that `_` sorts after them.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    a.iter().map(u8::to_ascii_uppercase).cmp(b.iter().map(u8::to_ascii_uppercase))
}

impl HeaderMap for SortedHeaders {
    fn len(&self) -> usize {
        self.lines.len()
    }

    fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.find(name).ok().map(|index| self.lines[index].1.as_slice())
    }

    fn for_each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        for (name, value) in self.iter() {
            visit(name, value);
        }
    }

    fn add(&mut self, name: &[u8], value: &[u8]) {
        match self.find(name) {
            Err(index) => self.lines.insert(index, (name.to_vec(), value.to_vec())),
            Ok(index) => {
                let old = &mut self.lines[index].1;
                if !old.is_empty() {
                    old.extend_from_slice(b", ");
                }
                old.extend_from_slice(value);
            }
        }
    }

    fn replace(&mut self, name: &[u8], value: &[u8]) {
        match self.find(name) {
            Err(index) => self.lines.insert(index, (name.to_vec(), value.to_vec())),
            Ok(index) => self.lines[index].1 = value.to_vec(),
        }
    }

    fn remove(&mut self, name: &[u8]) {
        if let Ok(index) = self.find(name) {
            self.lines.remove(index);
        }
    }

    fn clear(&mut self) {
        self.lines.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(map: &SortedHeaders) -> Vec<String> {
        map.iter()
            .map(|(name, value)| format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)))
            .collect()
    }

    #[test]
    fn one_line_for_a_name_sorted_without_case() {
        let mut map = SortedHeaders::default();
        for (name, value) in [("b", "1"), ("A", "2"), (":path", "/"), ("B", "3"), ("C", ""), ("c", "4"), ("c", "")] {
            map.add(name.as_bytes(), value.as_bytes());
        }
        assert_eq!(lines(&map), [":path=/", "A=2", "b=1, 3", "C=4, "]);
        assert_eq!((map.len(), map.get(b"a"), map.get(b"d")), (4, Some(&b"2"[..]), None));
        map.replace(b"B", b"5");
        map.replace(b"_", b"6");
        map.remove(b"c");
        map.remove(b"d");
        assert_eq!(lines(&map), [":path=/", "A=2", "b=5", "_=6"]);
    }
}
