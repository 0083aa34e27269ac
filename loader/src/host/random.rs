//! Randomness for WASI's `random_get` and for native plugins that call the C library (see
//! `docs/differences.md`).

use std::sync::atomic::{AtomicU64, Ordering};

/// A source of random bytes.
pub trait Random: Send + Sync {
    /// Fills the buffer. Returns false if the source failed.
    fn fill(&self, target: &mut [u8]) -> bool;

    /// True for the system's source. Native plugins then keep calling the C library.
    fn is_system(&self) -> bool {
        false
    }
}

/// The system's source of randomness.
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&self, target: &mut [u8]) -> bool {
        getrandom::fill(target).is_ok()
    }

    fn is_system(&self) -> bool {
        true
    }
}

/// A pseudo-random source: the same bytes for the same seed. For tests and comparisons, never for
/// secrets.
pub struct SeededRandom(AtomicU64);

impl SeededRandom {
    /// A source with this seed.
    pub fn new(seed: u64) -> SeededRandom {
        SeededRandom(AtomicU64::new(seed))
    }

    /// The current state, which determines all further bytes.
    pub fn state(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Continues from a [`state`](SeededRandom::state).
    pub fn set_state(&self, state: u64) {
        self.0.store(state, Ordering::Relaxed);
    }
}

impl Random for SeededRandom {
    fn fill(&self, target: &mut [u8]) -> bool {
        for chunk in target.chunks_mut(8) {
            // The generator is SplitMix64.
            let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
        true
    }
}
