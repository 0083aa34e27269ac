//! Where in its image a plugin was when it crashed, with the names of its functions.

/// Most frames that are kept.
const FRAMES: usize = 32;

/// Addresses within an image, relative to its base, innermost first: of the instruction that was interrupted, and of calls under way (the last
/// byte of each).
#[derive(Clone, Copy, Default)]
pub(super) struct Backtrace {
    frames: [u64; FRAMES],
    len: usize,
}

impl Backtrace {
    pub(super) fn frames(&self) -> &[u64] {
        &self.frames[..self.len]
    }

    /// Adds a frame, if there is room.
    pub(super) fn push(&mut self, address: u64) {
        if let Some(place) = self.frames.get_mut(self.len) {
            *place = address;
            self.len += 1;
        }
    }
}
