//! Bytes that a plugin may read and change in part: bodies and connection data.

/// A body or a connection's bytes, as the plugin sees them.
pub trait Buffer {
    /// Length in bytes.
    fn len(&self) -> usize;

    /// Whether there is no byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `target` with the bytes from `start` on. The caller has checked that they exist.
    fn copy_to(&self, start: usize, target: &mut [u8]);

    /// Replaces `length` bytes from `start` on with `data`, whose size may differ. The caller has clamped the range to the buffer.
    fn replace(&mut self, start: usize, length: usize, data: &[u8]);
}

impl Buffer for Vec<u8> {
    fn len(&self) -> usize {
        Vec::len(self)
    }

    fn copy_to(&self, start: usize, target: &mut [u8]) {
        target.copy_from_slice(&self[start..start + target.len()]);
    }

    fn replace(&mut self, start: usize, length: usize, data: &[u8]) {
        if start == 0 && length == Vec::len(self) {
            self.clear();
            self.extend_from_slice(data);
        } else {
            self.splice(start..start + length, data.iter().copied());
        }
    }
}
