//! Randomness: `random_get` of WASI, and what native plugins ask the C library for (see `docs/differences.md`).

use std::sync::atomic::{AtomicU64, Ordering};

/// A source of random bytes.
pub trait Random: Send + Sync {
    /// Fills the buffer; false when the source failed.
    fn fill(&self, target: &mut [u8]) -> bool;

    /// Whether this is the system's source: then native plugins go on asking the C library.
    fn is_system(&self) -> bool {
        false
    }
}

/// The system's source.
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&self, target: &mut [u8]) -> bool {
        getrandom::fill(target).is_ok()
    }

    fn is_system(&self) -> bool {
        true
    }
}

/// The same bytes for the same seed: for tests and comparisons, never for secrets.
pub struct SeededRandom(AtomicU64);

impl SeededRandom {
    /// Starts from a seed.
    pub fn new(seed: u64) -> SeededRandom {
        SeededRandom(AtomicU64::new(seed))
    }

    /// The seed from which all further bytes follow.
    pub fn state(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Goes on from a [`state`](SeededRandom::state).
    pub fn set_state(&self, state: u64) {
        self.0.store(state, Ordering::Relaxed);
    }
}

impl Random for SeededRandom {
    fn fill(&self, target: &mut [u8]) -> bool {
        for chunk in target.chunks_mut(8) {
            // SplitMix64.
            let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
        true
    }
}
