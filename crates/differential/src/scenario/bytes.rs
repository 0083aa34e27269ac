//! JSON representation of bytes and header lines.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Arbitrary bytes. JSON: a string if they are UTF-8, otherwise `{"base64": "..."}`.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Bytes(pub Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for Bytes {
    fn from(text: &str) -> Bytes {
        Bytes(text.as_bytes().to_vec())
    }
}

impl From<String> for Bytes {
    fn from(text: String) -> Bytes {
        Bytes(text.into_bytes())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Bytes {
        Bytes(bytes)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = std::str::from_utf8(&self.0) {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("base64", &STANDARD.encode(&self.0))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        struct BytesVisitor;

        impl<'de> Visitor<'de> for BytesVisitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, or {\"base64\": \"...\"}")
            }

            fn visit_str<E>(self, text: &str) -> Result<Bytes, E> {
                Ok(Bytes::from(text))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Bytes, A::Error> {
                let Some((name, text)) = map.next_entry::<String, String>()? else {
                    return Err(A::Error::custom("an object without \"base64\""));
                };
                if name != "base64" || map.next_key::<String>()?.is_some() {
                    return Err(A::Error::custom("bytes as an object have one member, \"base64\""));
                }
                let bytes = STANDARD.decode(&text);
                bytes.map(Bytes).map_err(|error| A::Error::custom(format!("{text:?} is not base64: {error}")))
            }
        }

        deserializer.deserialize_any(BytesVisitor)
    }
}

/// Header lines in order. JSON: a list of `[name, value]`, or an object of names with a value or a list of values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines(pub Vec<(Bytes, Bytes)>);

impl Lines {
    /// Whether there are no lines.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends a line.
    pub fn push(&mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.0.push((name.into(), value.into()));
    }
}

impl Serialize for Lines {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Lines, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum OneOrMany {
            One(Bytes),
            Many(Vec<Bytes>),
        }

        struct LinesVisitor;

        impl<'de> Visitor<'de> for LinesVisitor {
            type Value = Lines;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of [name, value], or an object of header names")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Lines, A::Error> {
                let mut lines = Lines::default();
                while let Some(line) = seq.next_element()? {
                    lines.0.push(line);
                }
                Ok(lines)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Lines, A::Error> {
                let mut lines = Lines::default();
                while let Some((name, values)) = map.next_entry::<String, OneOrMany>()? {
                    match values {
                        OneOrMany::One(value) => lines.push(name, value),
                        OneOrMany::Many(values) => values.into_iter().for_each(|value| lines.push(name.clone(), value)),
                    }
                }
                Ok(lines)
            }
        }

        deserializer.deserialize_any(LinesVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_survive() {
        for bytes in [&b""[..], b"text \"quoted\"\n", "snow \u{2603}".as_bytes(), b"\xff\x00\xfe", b"half \xe2\x98"] {
            let json = serde_json::to_string(&Bytes(bytes.to_vec())).unwrap();
            assert_eq!(serde_json::from_str::<Bytes>(&json).unwrap().0, bytes, "{json}");
        }
        assert_eq!(serde_json::to_string(&Bytes(vec![0xff])).unwrap(), r#"{"base64":"/w=="}"#);
    }

    #[test]
    fn headers_are_a_list_or_an_object() {
        let list: Lines = serde_json::from_str(r#"[["a", "1"], ["a", {"base64": "/w=="}]]"#).unwrap();
        let object: Lines = serde_json::from_str(r#"{"a": ["1", {"base64": "/w=="}]}"#).unwrap();
        assert_eq!(list, object);
        assert_eq!(list.0[1].1.0, [0xff]);
    }

    #[test]
    fn mistakes_are_told() {
        for (json, message) in [
            (r#"{"base64": "?"}"#, "is not base64"),
            (r#"{"base32": "AA"}"#, "one member, \"base64\""),
            ("5", "a string, or"),
        ] {
            let error = serde_json::from_str::<Bytes>(json).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
