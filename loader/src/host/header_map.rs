//! Header maps: headers, trailers and metadata.

/// An ordered list of header lines, as the plugin sees it.
///
/// Names are compared case-insensitively in ASCII. A name may occur more than once. Names and
/// values need not be UTF-8.
///
/// ```
/// use dynvm::host::{HeaderMap, Headers};
///
/// fn is_grpc(headers: &dyn HeaderMap) -> bool {
///     headers.get(b"content-type").is_some_and(|value| value.starts_with(b"application/grpc"))
/// }
///
/// assert!(is_grpc(&Headers::from([("Content-Type", "application/grpc+proto")])));
/// ```
pub trait HeaderMap {
    /// Number of lines.
    fn len(&self) -> usize;

    /// True if there are no lines.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of the first line with this name.
    fn get(&self, name: &[u8]) -> Option<&[u8]>;

    /// Calls `visit` with name and value of each line, in order.
    fn for_each(&self, visit: &mut dyn FnMut(&[u8], &[u8]));

    /// Appends a line, also if the name exists.
    fn add(&mut self, name: &[u8], value: &[u8]);

    /// Sets the first line with this name and removes the others. Appends a line if there is none.
    fn replace(&mut self, name: &[u8], value: &[u8]);

    /// Removes all lines with this name.
    fn remove(&mut self, name: &[u8]);

    /// Removes all lines.
    fn clear(&mut self);
}

/// The answer to a plugin that accesses a header map which does not exist now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AbsentMap {
    /// It reads an empty map, as in Envoy; writing returns `BadArgument`. The Rust SDK panics at
    /// the other answers.
    #[default]
    Empty,
    /// `BadArgument`.
    BadArgument,
    /// `Unimplemented`.
    Unimplemented,
}

/// A header map in memory: lines in order of arrival, names with their original case.
///
/// All bytes of a map are in one allocation, so that creating and reading a map is cheap, as in a
/// proxy's own maps.
///
/// ```
/// use dynvm::host::{HeaderMap as _, Headers};
///
/// let mut headers = Headers::from([(":path", "/"), ("accept", "text/html")]);
/// headers.add(b"Accept", b"text/plain");
/// assert_eq!(headers.get(b"ACCEPT"), Some(&b"text/html"[..]));
///
/// headers.replace(b"accept", b"*/*");
/// assert_eq!(headers.len(), 2);
/// ```
#[derive(Clone, Default)]
pub struct Headers {
    bytes: Vec<u8>,
    lines: Vec<Line>,
}

#[derive(Clone, Copy)]
struct Line {
    start: u32,
    name: u32,
    value: u32,
}

impl Headers {
    /// A map without lines.
    pub fn new() -> Headers {
        Headers::default()
    }

    /// Name and value of each line, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> + ExactSizeIterator {
        self.lines.iter().map(|line| (self.name(line), self.value(line)))
    }

    fn name(&self, line: &Line) -> &[u8] {
        &self.bytes[line.start as usize..][..line.name as usize]
    }

    fn value(&self, line: &Line) -> &[u8] {
        &self.bytes[(line.start + line.name) as usize..][..line.value as usize]
    }

    fn push_bytes(&mut self, name: &[u8], value: &[u8]) -> Line {
        let start = u32::try_from(self.bytes.len()).expect("a header map holds less than 4 GiB");
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        Line { start, name: name.len() as u32, value: value.len() as u32 }
    }
}

impl HeaderMap for Headers {
    fn len(&self) -> usize {
        self.lines.len()
    }

    fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let line = self.lines.iter().find(|line| self.name(line).eq_ignore_ascii_case(name))?;
        Some(self.value(line))
    }

    fn for_each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        for (name, value) in self.iter() {
            visit(name, value);
        }
    }

    fn add(&mut self, name: &[u8], value: &[u8]) {
        let line = self.push_bytes(name, value);
        self.lines.push(line);
    }

    fn replace(&mut self, name: &[u8], value: &[u8]) {
        let is_named = |line: &Line| self.name(line).eq_ignore_ascii_case(name);
        let Some(first) = self.lines.iter().position(is_named) else {
            return self.add(name, value);
        };
        let spelled = self.name(&self.lines[first]).to_vec();
        let line = self.push_bytes(&spelled, value);
        self.lines[first] = line;
        let mut index = 0;
        let (bytes, lines) = (&self.bytes, &mut self.lines);
        lines.retain(|line| {
            let keep = index <= first || !bytes[line.start as usize..][..line.name as usize].eq_ignore_ascii_case(name);
            index += 1;
            keep
        });
    }

    fn remove(&mut self, name: &[u8]) {
        let (bytes, lines) = (&self.bytes, &mut self.lines);
        lines.retain(|line| !bytes[line.start as usize..][..line.name as usize].eq_ignore_ascii_case(name));
    }

    fn clear(&mut self) {
        self.lines.clear();
        self.bytes.clear();
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Headers) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}

impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|(n, v)| (String::from_utf8_lossy(n), String::from_utf8_lossy(v))))
            .finish()
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(lines: I) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in lines {
            headers.add(name.as_ref(), value.as_ref());
        }
        headers
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>, const COUNT: usize> From<[(N, V); COUNT]> for Headers {
    fn from(lines: [(N, V); COUNT]) -> Headers {
        lines.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ignore_case_and_keep_their_spelling() {
        let mut map = Headers::from([("Accept", "a"), ("x", "1"), ("accept", "b")]);
        assert_eq!(map.get(b"ACCEPT"), Some(&b"a"[..]));
        map.replace(b"aCCept", b"c");
        assert_eq!(map, Headers::from([("Accept", "c"), ("x", "1")]));
        map.replace(b"new", b"");
        assert_eq!(map.get(b"new"), Some(&b""[..]));
        map.remove(b"ACCEPT");
        map.remove(b"not there");
        assert_eq!(map, Headers::from([("x", "1"), ("new", "")]));
    }
}
