//! Where random operations come from.

/// Numbers that choose operations: a generator, or a fuzzer's bytes.
pub trait Choices {
    /// The next number; `None` at the end.
    fn next(&mut self) -> Option<u32>;
}

/// A generator with a fixed seed (SplitMix64).
pub struct Generator {
    pub state: u64,
    pub left: usize,
}

impl Choices for Generator {
    fn next(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some((mixed ^ mixed >> 31) as u32)
    }
}
