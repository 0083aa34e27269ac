//! The digest by which a module's artifact is known.

use std::fmt;
use std::sync::{Arc, LazyLock};

use sha2::{Digest as _, Sha256};

/// SHA-256 of an artifact, in lower-case hexadecimal. Clones share it.
#[derive(Clone)]
pub(crate) struct Digest(Arc<LazyLock<Option<String>, Compute>>);

type Compute = Box<dyn FnOnce() -> Option<String> + Send>;

impl Digest {
    /// A digest that is known already.
    pub(crate) fn known(digest: String) -> Digest {
        Digest(Arc::new(LazyLock::new(Box::new(|| Some(digest)))))
    }

    /// The digest of what `read` returns, when it is first asked for: hashing a plugin takes longer than to link it.
    #[cfg(feature = "native")]
    pub(crate) fn later(read: impl FnOnce() -> Option<Vec<u8>> + Send + 'static) -> Digest {
        Digest(Arc::new(LazyLock::new(Box::new(|| Some(sha256(&read()?))))))
    }

    /// `None`: what it would be computed from is gone.
    pub(crate) fn get(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// SHA-256 in lower-case hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
