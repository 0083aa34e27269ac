//! Creates minisign keys and signatures. The crate `minisign` would change the features of wasmtime's dependencies for
//! tests only, so that wasmtime would be compiled twice.

use std::sync::atomic::{AtomicU8, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ed25519_compact::{KeyPair, Seed};

/// A key pair.
pub struct Signer {
    pair: KeyPair,
    id: [u8; 8],
}

impl Signer {
    /// Each key pair has another key.
    pub fn new() -> Signer {
        static NUMBER: AtomicU8 = AtomicU8::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Signer { pair: KeyPair::from_seed(Seed::new([number; 32])), id: [number; 8] }
    }

    /// The public key as minisign prints it.
    pub fn text(&self) -> String {
        BASE64_STANDARD.encode([b"Ed", &self.id[..], &self.pair.pk[..]].concat())
    }

    /// The text of a `.pub` file.
    pub fn file(&self) -> String {
        format!("untrusted comment: minisign public key\n{}\n", self.text())
    }

    /// A signature of the bytes themselves, as `minisign -l` creates it.
    pub fn sign(&self, bytes: &[u8]) -> String {
        let signature = self.pair.sk.sign(bytes, None);
        let comment = "release 1";
        let global = self.pair.sk.sign([&signature[..], comment.as_bytes()].concat(), None);
        format!(
            "untrusted comment: signature\n{}\ntrusted comment: {comment}\n{}\n",
            BASE64_STANDARD.encode([b"Ed", &self.id[..], &signature[..]].concat()),
            BASE64_STANDARD.encode(&global[..])
        )
    }
}
