//! Buffers of bytes that a plugin reads and changes in part: bodies and connection data.

/// The bytes of a body or of a connection, as the plugin sees them.
pub trait Buffer {
    /// Length in bytes.
    fn len(&self) -> usize;

    /// True if the length is 0.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `target` with the bytes from `start` on. The range is inside the buffer; the caller
    /// has checked it.
    fn copy_to(&self, start: usize, target: &mut [u8]);

    /// Replaces `length` bytes from `start` on with `data`, whose length may differ. The range is
    /// inside the buffer; the caller has clamped it.
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
