//! Generates values: from the dictionary, mutated ones, and typical edge cases.

use super::dictionary::Vocabulary;
use super::random::Random;
use crate::scenario::{Body, Bytes, Lines};

/// Numbers at the limits of types, and texts that are almost numbers.
const NUMBERS: [&str; 16] = [
    "0",
    "-0",
    "1",
    "-1",
    "255",
    "65536",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "4294967297",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e309",
];

impl Vocabulary {
    /// A header value. `known`: the observed values of its name.
    pub(super) fn value(&self, random: &mut Random, known: &[Bytes]) -> Bytes {
        match random.below(100) {
            0..45 => random.pick(known).cloned().unwrap_or_else(|| self.word(random)),
            45..60 => {
                let value = random.pick(known).cloned().unwrap_or_else(|| self.word(random));
                damaged(random, value)
            }
            60..70 => Bytes::from(random.one(NUMBERS)),
            70..80 => self.word(random),
            80..86 => Bytes::default(),
            86..92 => {
                let len = 1 + random.below(40);
                Bytes(text(random, len))
            }
            92..97 => {
                let len = 1 + random.below(20);
                Bytes(binary(random, len))
            }
            _ => {
                let len = 1 << (6 + random.below(7));
                let len = len - random.below(2);
                Bytes(text(random, len))
            }
        }
    }

    fn word(&self, random: &mut Random) -> Bytes {
        random.pick(&self.words).cloned().unwrap_or_else(|| Bytes::from("value"))
    }

    /// A header line.
    pub(super) fn line(&self, random: &mut Random) -> (Bytes, Bytes) {
        match random.below(100) {
            0..65 if !self.headers.is_empty() => {
                let (name, known) = &self.headers[random.below(self.headers.len())];
                (name.clone(), self.value(random, known))
            }
            0..92 => {
                let (name, known) = Vocabulary::common(random.below(Vocabulary::COMMON_HEADERS));
                let known: Vec<Bytes> = known.iter().map(|value| Bytes::from(*value)).collect();
                (Bytes::from(name), self.value(random, &known))
            }
            92..98 => {
                let name = format!("x-{}", random.one(["a", "b-c", "long-name-that-nobody-knows", "1", "_"]));
                (Bytes::from(name), self.value(random, &[]))
            }
            98 => (Bytes::from("X-Upper"), self.value(random, &[])),
            _ => {
                let len = 1 + random.below(8);
                (Bytes(binary(random, len)), self.value(random, &[]))
            }
        }
    }

    /// Header lines, some with repeated names.
    pub(super) fn lines(&self, random: &mut Random, most: usize) -> Lines {
        let mut lines = Lines::default();
        for _ in 0..random.below(most + 1) {
            let (mut name, value) = self.line(random);
            if random.percent(12)
                && let Some((before, _)) = random.pick(&lines.0)
            {
                name = before.clone();
            }
            lines.0.push((name, value));
        }
        lines
    }

    /// A path for a request.
    pub(super) fn path(&self, random: &mut Random) -> Bytes {
        let known = random.pick(&self.paths).cloned().unwrap_or_else(|| Bytes::from("/"));
        match random.below(100) {
            0..60 => known,
            60..75 => damaged(random, known),
            75..85 => Bytes([&known[..], b"?a=b&c=%20&d"].concat()),
            85..92 => Bytes::from(random.one(["/", "", "*", "//", "/a/../b", "/%", "/%2e%2e/", "/?", "/#f"])),
            92..98 => {
                let len = random.below(60);
                Bytes([b"/", text(random, len).as_slice()].concat())
            }
            _ => {
                let len = random.below(3000);
                Bytes([b"/", text(random, len).as_slice()].concat())
            }
        }
    }

    /// A method for a request.
    pub(super) fn method(&self, random: &mut Random) -> Bytes {
        match random.below(100) {
            0..35 => Bytes::from("GET"),
            35..60 => Bytes::from("POST"),
            60..75 => random.pick(&self.methods).cloned().unwrap_or_else(|| Bytes::from("PUT")),
            _ => Bytes::from(
                random.one(["PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "get", "", "X"]),
            ),
        }
    }

    /// An authority for a request.
    pub(super) fn authority(&self, random: &mut Random) -> Bytes {
        let known = random.pick(&self.authorities).cloned().unwrap_or_else(|| Bytes::from("example.com"));
        match random.below(10) {
            0..6 => known,
            6 => damaged(random, known),
            _ => Bytes::from(random.one(["example.com:8443", "[::1]", "", "EXAMPLE.com", "a.b.c.d.e"])),
        }
    }

    /// A body: empty (with a probability of `none` percent), from the dictionary, mutated, or
    /// random; in one chunk or in several, some empty.
    pub(super) fn body(&self, random: &mut Random, none: usize) -> Body {
        if random.percent(none) {
            return Body::default();
        }
        let known = random.pick(&self.bodies).cloned().unwrap_or_else(|| Bytes::from("{\"a\":[1,2.5,null,\"x\"]}"));
        let whole = match random.below(100) {
            0..50 => known,
            50..75 => damaged(random, known),
            75..80 => Bytes::default(),
            80..90 => {
                let len = random.below(200);
                Bytes(text(random, len))
            }
            90..98 => {
                let len = random.below(200);
                Bytes(binary(random, len))
            }
            _ => {
                let len = random.below(20_000);
                Bytes(text(random, len))
            }
        };
        Body::of(pieces(random, &whole))
    }

    /// A response status.
    pub(super) fn status(&self, random: &mut Random) -> u32 {
        match random.below(10) {
            0..4 => 200,
            4..7 => random.pick(&self.statuses).copied().unwrap_or(404),
            _ => random.one([100, 101, 201, 204, 206, 301, 304, 400, 401, 403, 429, 500, 502, 503, 599, 0, 999]),
        }
    }
}

/// A mutated value.
pub(super) fn damaged(random: &mut Random, value: Bytes) -> Bytes {
    let mut bytes = value.0;
    for _ in 0..1 + random.below(2) {
        let at = random.below(bytes.len() + 1);
        match random.below(7) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(..at)),
            2 => {
                let other = random.one([b' ', b'"', 0, 0xff, b'=', b'.', b'\\', b'A', b'9']);
                bytes.insert(at, other);
            }
            3 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            4 => bytes.make_ascii_uppercase(),
            5 => {
                let again = bytes[at..].to_vec();
                bytes.extend(again);
            }
            _ if at < bytes.len() => drop(bytes.remove(at)),
            _ => bytes.push(b' '),
        }
    }
    Bytes(bytes)
}

/// Splits bytes into consecutive chunks, some of which may be empty.
pub(super) fn pieces(random: &mut Random, whole: &[u8]) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    let mut rest = whole;
    let more = if random.percent(40) { random.below(5) } else { 0 };
    for _ in 0..more {
        let (piece, after) = rest.split_at(random.below(rest.len() + 1));
        pieces.push(Bytes(piece.to_vec()));
        rest = after;
    }
    pieces.push(Bytes(rest.to_vec()));
    pieces
}

fn text(random: &mut Random, len: usize) -> Vec<u8> {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_.~/%&=+ ,;:\"'{}[]";
    (0..len).map(|_| LETTERS[random.below(LETTERS.len())]).collect()
}

/// Random bytes, half of them printable.
fn binary(random: &mut Random, len: usize) -> Vec<u8> {
    (0..len)
        .map(|_| {
            if random.percent(50) {
                random.one([0xff, 0, 0x80, 0x7f, b'\n', 0xc3, 0xe2])
            } else {
                b' ' + random.below(95) as u8
            }
        })
        .collect()
}
