//! Detached minisign signatures: Ed25519 over the bytes, or over their BLAKE2b hash.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use minisign_verify::Signature;

/// A minisign public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    key: minisign_verify::PublicKey,
    id: KeyId,
}

/// The number of a key. minisign writes it into signatures and displays it as 16 hexadecimal
/// digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(u64);

/// Error of verifying a signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The text is not a complete minisign signature.
    #[error("the signature is damaged, truncated, or not of minisign's format")]
    Malformed,
    /// None of the given keys made the signature.
    #[error("it is signed with the key {0}, which is not among the keys")]
    UnknownKey(KeyId),
    /// The signature names one of the keys, but does not match the bytes: it is for other bytes, or
    /// forged.
    #[error("it is not what the key {0} signed: the signature is of other bytes")]
    OtherBytes(KeyId),
}

/// Verifies a detached signature over `bytes`, which need not be a whole file.
///
/// Accepts both of minisign's kinds of signatures, over the bytes and over their hash. The trusted
/// comment is verified too. Returns the key that made the signature.
///
/// # Errors
///
/// [`SignatureError`]: none of the keys signed the bytes.
pub fn verify_signature(keys: &[PublicKey], bytes: &[u8], signature: &str) -> Result<KeyId, SignatureError> {
    let decoded = Signature::decode(signature).map_err(|_| SignatureError::Malformed)?;
    let id = signature.lines().nth(1).and_then(KeyId::in_base64).ok_or(SignatureError::Malformed)?;
    let mut known = false;
    // A key id is a random number that anyone can copy, so several keys may have the same one: all
    // are tried.
    for key in keys.iter().filter(|key| key.id == id) {
        known = true;
        if key.key.verify(bytes, &decoded, true).is_ok() {
            return Ok(id);
        }
    }
    Err(if known { SignatureError::OtherBytes(id) } else { SignatureError::UnknownKey(id) })
}

impl PublicKey {
    /// The number of the key.
    pub fn id(&self) -> KeyId {
        self.id
    }
}

impl FromStr for PublicKey {
    type Err = String;

    /// Parses a key as minisign prints it, or the text of a `.pub` file.
    fn from_str(text: &str) -> Result<PublicKey, String> {
        // The first line of a `.pub` file is a comment.
        let line = text.trim().lines().last().unwrap_or_default().trim();
        let key = minisign_verify::PublicKey::from_base64(line).ok();
        key.zip(KeyId::in_base64(line)).map(|(key, id)| PublicKey { key, id }).ok_or_else(|| {
            let line: String = line.chars().take(80).collect();
            format!("{line:?} is not a minisign public key: that is 56 characters which begin with RW, as minisign -G prints them")
        })
    }
}

impl KeyId {
    /// Extracts the key id from a key or a signature: bytes 2 to 9, after the algorithm.
    fn in_base64(line: &str) -> Option<KeyId> {
        let bytes = BASE64_STANDARD.decode(line).ok()?;
        Some(KeyId(u64::from_le_bytes(*bytes.get(2..)?.first_chunk()?)))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
