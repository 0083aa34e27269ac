//! Shares of streams, and the assignment of streams to them.

/// A share of streams, from zero to all, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

const WHOLE: u32 = 1_000_000;

impl Share {
    /// No stream.
    pub const NONE: Share = Share(0);

    /// Every stream.
    pub const ALL: Share = Share(WHOLE);

    /// A share in percent, clamped to 0 and 100; NaN is 0.
    pub fn percent(percent: f64) -> Share {
        // Casting from a float saturates, and NaN becomes 0.
        Share(((percent * f64::from(WHOLE) / 100.0).round() as u32).min(WHOLE))
    }

    /// The share as a fraction of 1.
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / f64::from(WHOLE)
    }

    pub(super) fn millionths(self) -> u32 {
        self.0
    }

    pub(super) fn from_millionths(millionths: u32) -> Share {
        Share(millionths.min(WHOLE))
    }

    /// Whether a point belongs to the share. Every greater share contains the point too, so raising
    /// a share removes no key.
    pub(super) fn has(self, point: u64) -> bool {
        point % u64::from(WHOLE) < u64::from(self.0)
    }
}

/// The point of a key: the same in every process and version, but different for each `salt`.
pub(super) fn point_of(key: &[u8], salt: u64) -> u64 {
    // FNV-1a; its low bits decide, so they need mixing.
    let hash = key
        .iter()
        .fold(0xcbf2_9ce4_8422_2325 ^ salt, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    mix(hash)
}

/// A per-thread generator of random points.
pub(super) struct Points(u64);

impl Points {
    pub(super) fn new() -> Points {
        let mut seed = [0; 8];
        // Without randomness, threads choose alike, which is harmless.
        let _ = getrandom::fill(&mut seed);
        Points(u64::from_le_bytes(seed))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}

/// The finalizer of SplitMix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_what_they_say() {
        for percent in [0.0, 1.0, 10.0, 50.0, 100.0] {
            let share = Share::percent(percent);
            let hits = (0..100_000u32).filter(|key| share.has(point_of(&key.to_le_bytes(), 1))).count() as f64;
            assert!((hits / 1000.0 - percent).abs() < 0.5, "{percent} %: {hits} of 100000");
        }
        assert_eq!(
            (Share::percent(-1.0), Share::percent(f64::NAN), Share::percent(101.0)),
            (Share::NONE, Share::NONE, Share::ALL)
        );
    }

    #[test]
    fn a_greater_share_keeps_the_keys_of_a_smaller_one() {
        let (small, great) = (Share::percent(3.0), Share::percent(20.0));
        let keys = (0..10_000u32).map(|key| point_of(&key.to_le_bytes(), 1));
        assert!(keys.filter(|point| small.has(*point)).all(|point| great.has(point)));
    }
}
