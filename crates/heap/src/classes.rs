//! Size classes: the sizes of small blocks, and where the blocks of one size lie in a unit.

/// Bytes of a unit, in which a heap's memory is divided: the blocks of one unit have one size.
pub(crate) const UNIT: usize = 16 * 1024;

/// Bytes in which use is counted, on every machine: the page of most.
pub(crate) const GRANULE: usize = 4096;

/// The alignment of every block.
pub(crate) const ALIGN: usize = 16;

/// The size of the largest small block. Larger ones have units to themselves.
pub(crate) const MAX_SMALL: usize = 8192;

/// Words of the bitmap in which a unit has its free blocks.
pub(crate) const WORDS: usize = 4;

/// Blocks that the bitmap can hold. Units of blocks under 64 bytes are not used to their end: that costs addresses, not memory.
const MAX_BLOCKS: usize = WORDS * 64;

/// How the blocks of one size lie in a unit.
#[derive(Clone, Copy)]
pub(crate) struct Class {
    pub(crate) size: u32,
    /// 2^32 divided by the size, rounded up: with it, a multiplication divides an offset in a unit exactly.
    pub(crate) reciprocal: u32,
    /// Blocks in a unit.
    pub(crate) count: u16,
}

impl Class {
    const fn new(size: usize) -> Class {
        let count = if UNIT / size < MAX_BLOCKS { UNIT / size } else { MAX_BLOCKS };
        Class { size: size as u32, reciprocal: (1u64 << 32).div_ceil(size as u64) as u32, count: count as u16 }
    }

    /// Bytes that the first blocks of a unit take, in whole granules.
    pub(crate) fn counted(&self, blocks: usize) -> usize {
        (blocks * self.size as usize).next_multiple_of(GRANULE)
    }
}

/// The number of the block at or around an offset in its unit.
#[inline]
pub(crate) fn block_at(offset: usize, reciprocal: u32) -> usize {
    ((offset as u64 * u64::from(reciprocal)) >> 32) as usize
}

/// The number of the block that starts at an offset in its unit, if one does: the remainder is 0 where the fraction of the product is less
/// than that of one byte.
#[inline]
pub(crate) fn block_from(offset: usize, reciprocal: u32) -> Option<usize> {
    let product = offset as u64 * u64::from(reciprocal);
    ((product as u32) < reciprocal).then_some((product >> 32) as usize)
}

/// Four sizes between powers of two; above 2 KiB, what a unit divides into.
const SIZES: [usize; 30] = [
    16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1280, 1536, 1792,
    2048, 2336, 2720, 3264, 4096, 5456, 8192,
];

/// Classes, indexed by a unit's kind. The first is of no blocks, for units without.
pub(crate) static CLASSES: [Class; SIZES.len() + 1] = {
    let mut classes = [Class { size: 16, reciprocal: 0, count: 0 }; SIZES.len() + 1];
    let mut at = 0;
    while at < SIZES.len() {
        classes[at + 1] = Class::new(SIZES[at]);
        at += 1;
    }
    classes
};

/// The class of each size, in steps of the alignment.
static CLASS_OF: [u8; MAX_SMALL / ALIGN + 1] = {
    let mut table = [1; MAX_SMALL / ALIGN + 1];
    let (mut at, mut class) = (1, 1);
    while at < table.len() {
        if at * ALIGN > SIZES[class - 1] {
            class += 1;
        }
        table[at] = class as u8;
        at += 1;
    }
    table
};

/// The smallest class of blocks that hold `size` bytes; `None` if such a block is not small.
#[inline]
pub(crate) fn class_of(size: usize) -> Option<usize> {
    if size > MAX_SMALL { None } else { CLASS_OF.get(size.div_ceil(ALIGN)).map(|class| usize::from(*class)) }
}

/// The same for blocks that are aligned to a power of two.
pub(crate) fn aligned_class_of(size: usize, alignment: usize) -> Option<usize> {
    if alignment > MAX_SMALL {
        return None;
    }
    // Units are aligned to their size, so a block is aligned where its size is a multiple.
    let from = class_of(size.max(alignment))?;
    (from..CLASSES.len()).find(|class| (CLASSES[*class].size as usize).is_multiple_of(alignment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_the_smallest_that_holds_the_size() {
        for size in 0..=MAX_SMALL {
            let class = class_of(size).unwrap();
            assert!(CLASSES[class].size as usize >= size);
            assert!(class == 1 || (CLASSES[class - 1].size as usize) < size);
        }
        assert_eq!(class_of(MAX_SMALL + 1), None);
        assert_eq!(class_of(usize::MAX), None);
    }

    #[test]
    fn division_by_multiplication_is_exact() {
        for class in &CLASSES[1..] {
            let size = class.size as usize;
            assert!(class.count as usize * size <= UNIT && class.count >= 2);
            assert!(size.is_multiple_of(ALIGN));
            for offset in 0..UNIT {
                assert_eq!(block_at(offset, class.reciprocal), offset / size);
                let starts = offset.is_multiple_of(size).then_some(offset / size);
                assert_eq!(block_from(offset, class.reciprocal), starts);
            }
        }
    }

    #[test]
    fn aligned_classes_have_aligned_blocks() {
        for shift in 0..=13 {
            for size in (0..=MAX_SMALL).step_by(7) {
                let class = &CLASSES[aligned_class_of(size, 1 << shift).unwrap()];
                assert!(class.size as usize >= size && (class.size as usize).is_multiple_of(1 << shift));
            }
        }
        assert_eq!(aligned_class_of(1, 2 * MAX_SMALL), None);
    }
}
