//! SHA-256 digests of artifacts.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// SHA-256 of an artifact, written as `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// Computes the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Sha256Digest {
        Sha256Digest(Sha256::digest(bytes).into())
    }
}

impl FromStr for Sha256Digest {
    type Err = String;

    /// Parses a digest, with or without its prefix, in lower or upper case.
    fn from_str(text: &str) -> Result<Sha256Digest, String> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let parsed = || {
            let mut digest = [0; 32];
            if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return None;
            }
            for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
                *byte = u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
            }
            Some(Sha256Digest(digest))
        };
        parsed().ok_or_else(|| {
            format!(
                "{text:?} is not a SHA-256: write the 64 hexadecimal digits that sha256sum prints, or sha256: and those"
            )
        })
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Sha256Digest::of(b"").to_string(), empty);
        for text in [empty, &empty[7..], &empty[7..].to_uppercase()] {
            assert_eq!(text.parse(), Ok(Sha256Digest::of(b"")));
        }
        let long = format!("{empty}0");
        for text in ["", "sha256:", &empty[..70], &long, "sha512:00", &"é".repeat(32), &"+1".repeat(32)] {
            assert!(text.parse::<Sha256Digest>().is_err(), "{text}");
        }
    }
}
