//! What a heap knows of one unit of its memory. One cache line, far from the unit itself.

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

use crate::classes::{CLASSES, Class, GRANULE, UNIT, WORDS, block_from};

/// A unit. Memory that is zero is one that was never used.
#[repr(C, align(64))]
pub(crate) struct Unit {
    /// Small blocks: those that are free and have been given memory.
    pub(crate) free: [Cell<u64>; WORDS],
    /// A number of `CLASSES`, where none has blocks for 0; or [`LARGE`]. Read by other threads.
    kind: AtomicU8,
    /// Whether this is the first or last unit of a free span.
    pub(crate) edge: Cell<bool>,
    /// Whether the memory may hold more than zeros. Kept where the unit is free.
    pub(crate) dirty: Cell<bool>,
    /// Small blocks that are allocated. Of 32 bits: those of 16 are loaded along with their neighbor, which has to wait for the last store.
    pub(crate) used: Cell<u32>,
    /// The count of `used` at which the bin has to hear of a free: what is left after the first free in a full unit, 0 in others, [`NEVER`] in
    /// the first of a bin's list.
    pub(crate) notice: Cell<u32>,
    /// Small blocks that have been given memory, from the first on.
    pub(crate) carved: Cell<u16>,
    /// Units of a free span, in both edges; of a large block, in its first unit. Small blocks: the reciprocal of their size.
    pub(crate) len: Cell<u32>,
    /// Granules of a large block, bytes of a small one. Read by other threads.
    pub(crate) size: AtomicU32,
    /// Neighbors in the list of a bin or of free spans; [`NONE`] at an end.
    pub(crate) next: Cell<u32>,
    pub(crate) previous: Cell<u32>,
}

const _: () = assert!(size_of::<Unit>() == 64);

/// The kind of the first unit of a large block.
pub(crate) const LARGE: u8 = CLASSES.len() as u8;

/// A count that no unit reaches.
pub(crate) const NEVER: u32 = u32::MAX;

/// No unit: the first of a heap is never used.
pub(crate) const NONE: u32 = 0;

impl Unit {
    #[inline]
    pub(crate) fn kind(&self) -> u8 {
        self.kind.load(Relaxed)
    }

    pub(crate) fn set_kind(&self, kind: u8) {
        self.kind.store(kind, Relaxed);
    }

    /// The class of its blocks, if they are small.
    #[inline]
    pub(crate) fn class(&self) -> Option<&'static Class> {
        CLASSES.get(usize::from(self.kind()))
    }

    /// Makes it one of small blocks.
    pub(crate) fn start(&self, class: usize) {
        let Class { size, reciprocal, .. } = CLASSES[class];
        self.free.iter().for_each(|word| word.set(0));
        self.used.set(0);
        self.carved.set(0);
        self.len.set(reciprocal);
        self.size.store(size, Relaxed);
        self.set_kind(class as u8);
    }

    /// The number of the small block that starts at an offset. `None` if none does, or there are no small blocks.
    #[inline]
    pub(crate) fn small_at(&self, offset: usize) -> Option<usize> {
        let index = block_from(offset, self.len.get())?;
        if index < usize::from(self.carved.get()) { Some(index) } else { None }
    }

    /// Gives memory to the next blocks.
    pub(crate) fn carve(&self, blocks: usize) {
        for block in usize::from(self.carved.get())..blocks {
            let word = &self.free[block / 64];
            word.set(word.get() | 1 << (block % 64));
        }
        self.carved.set(blocks as u16);
    }

    /// Bytes from the unit's first that may hold more than zeros. For a large block, those of all its units.
    pub(crate) fn written(&self) -> usize {
        match self.class() {
            None => self.size.load(Relaxed) as usize * GRANULE,
            Some(_) if self.dirty.get() => UNIT,
            Some(class) => class.counted(usize::from(self.carved.get())),
        }
    }
}
