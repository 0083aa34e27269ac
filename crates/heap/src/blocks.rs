//! Blocks: small ones in units of their class, found through bitmaps; large ones in units of their own.
//!
//! Nothing of this is in the memory that plugins write to, so no overflow and no write after a free changes it. Every address that comes back
//! is looked at before anything is changed.

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::classes::{ALIGN, CLASSES, GRANULE, MAX_SMALL, UNIT, WORDS, aligned_class_of, block_at, class_of};
use crate::error::{Corruption, Error};
use crate::region::{SLOT_ALIGN, Slot};
use crate::spans::Spans;
use crate::unit::{LARGE, NEVER, NONE, Unit};

/// The blocks of a heap, for one thread at a time.
pub(crate) struct Blocks {
    spans: Spans,
    bins: [Bin; CLASSES.len()],
    /// Bytes of all granules that blocks were given. Read by other threads.
    used: AtomicUsize,
    limit: usize,
}

/// Units with free blocks of one class, in a list.
struct Bin {
    /// The first unit of the list, or one without blocks.
    unit: &'static Unit,
    /// Its free blocks that are taken next.
    word: &'static Cell<u64>,
    /// The block of that word's lowest bit.
    memory: *mut u8,
    /// Bytes of a block.
    size: u32,
    head: u32,
}

/// A live block.
struct Block {
    number: usize,
    unit: &'static Unit,
    place: Place,
}

enum Place {
    /// A block of its unit.
    Small { class: usize, index: usize },
    /// From its unit on.
    Large,
}

impl Blocks {
    /// # Safety
    ///
    /// The slot is as [`Slot::take`] returns it.
    pub(crate) unsafe fn new(slot: Slot, warm: bool, limit: usize) -> Blocks {
        // SAFETY: the caller's promise.
        let spans = unsafe { Spans::new(slot, warm) };
        let empty = &spans.units()[NONE as usize];
        let bins = CLASSES.each_ref().map(|class| Bin {
            unit: empty,
            word: &empty.free[0],
            memory: ptr::null_mut(),
            size: class.size,
            head: NONE,
        });
        Blocks { bins, spans, used: AtomicUsize::new(0), limit }
    }

    /// The field, where another thread may be using the others.
    pub(crate) fn used_of(blocks: *mut Blocks) -> *const AtomicUsize {
        // SAFETY: only an address is computed.
        unsafe { &raw const (*blocks).used }
    }

    pub(crate) fn spans(&self) -> &Spans {
        &self.spans
    }

    /// A small block, where that takes a few instructions.
    #[inline]
    pub(crate) fn allocate_fast(&mut self, size: usize) -> Option<NonNull<u8>> {
        let class = class_of(size)?;
        self.bins[class].pop()
    }

    /// A block of which the address is a multiple of a power of two.
    pub(crate) fn allocate(&mut self, size: usize, alignment: usize) -> Result<NonNull<u8>, Error> {
        let class = if alignment <= ALIGN { class_of(size) } else { aligned_class_of(size, alignment) };
        match class {
            Some(class) => self.small(class),
            None => self.large(size, alignment, 0),
        }
    }

    /// A block of zeros.
    pub(crate) fn allocate_zeroed(&mut self, size: usize) -> Result<NonNull<u8>, Error> {
        let block = self.allocate(size, ALIGN)?;
        let clean = |at: usize| {
            let unit = self.spans.find(block.as_ptr() as usize + at);
            size > MAX_SMALL && unit.is_some_and(|(number, ..)| self.spans.is_zero(number))
        };
        for at in (0..size).step_by(UNIT).filter(|at| !clean(*at)) {
            // SAFETY: within the block, which nobody uses yet.
            unsafe { block.add(at).write_bytes(0, UNIT.min(size - at)) }
        }
        Ok(block)
    }

    /// Frees a block, where that takes a few instructions. Otherwise nothing is changed.
    #[inline]
    pub(crate) fn free_fast(&mut self, address: usize) -> bool {
        let Some((_, unit, offset)) = self.spans.find(address) else { return false };
        let Some(index) = unit.small_at(offset) else { return false };
        let (word, bit) = (&unit.free[index / 64 % WORDS], 1 << (index % 64));
        let (free, used) = (word.get(), unit.used.get().wrapping_sub(1));
        if free & bit != 0 || used == unit.notice.get() {
            return false;
        }
        word.set(free | bit);
        unit.used.set(used);
        true
    }

    /// Frees a block.
    pub(crate) fn free(&mut self, address: usize) -> Result<(), Error> {
        let Block { number, unit, place } = self.find(address)?;
        match place {
            Place::Small { class, index } => {
                let word = &unit.free[index / 64];
                word.set(word.get() | 1 << (index % 64));
                unit.used.set(unit.used.get() - 1);
                if unit.used.get() == unit.notice.get() {
                    self.noticed(class, number);
                }
            }
            Place::Large => {
                self.discount(large_size(unit));
                // The kind is cleared last. Until then the unit counts as allocated.
                self.spans.free(number, unit.len.get() as usize, self.used.load(Relaxed));
                unit.set_kind(0);
            }
        }
        Ok(())
    }

    /// Bytes that a live block holds.
    pub(crate) fn size_of(&self, address: usize) -> Result<usize, Error> {
        self.find(address).map(|block| block.size())
    }

    /// Changes the size of a block where it is. `false` if it has to move; nothing is changed then.
    pub(crate) fn resize(&mut self, address: usize, size: usize) -> Result<bool, Error> {
        let block = self.find(address)?;
        let (old, Block { number, unit, place }) = (block.size(), block);
        if let Place::Small { .. } = place {
            return Ok(size <= old && size >= old / 2);
        }
        if class_of(size).is_some() {
            return Ok(false);
        }
        let new = self.granules(size)?;
        let (len, needed) = (unit.len.get() as usize, new.div_ceil(UNIT));
        if new > old {
            self.admit(new - old)?;
            if needed > len && !self.spans.take_at(number + len, needed - len) {
                return Ok(false);
            }
        }
        unit.size.store((new / GRANULE) as u32, Relaxed);
        unit.len.set(needed.max(len) as u32);
        self.used.store(self.used.load(Relaxed) - old + new, Relaxed);
        if new < old && needed < len {
            unit.len.set(needed as u32);
            self.spans.free(number + needed, len - needed, self.used.load(Relaxed));
        }
        Ok(true)
    }

    /// A block for what is moved there because it grew: with addresses to grow on.
    pub(crate) fn allocate_to_grow(&mut self, size: usize) -> Result<NonNull<u8>, Error> {
        match class_of(size) {
            Some(class) => self.small(class),
            None => self.large(size, ALIGN, size / 4),
        }
    }

    /// Gives free memory back to the system.
    pub(crate) fn trim(&mut self) {
        self.release_empty();
        self.spans.release();
    }

    fn small(&mut self, class: usize) -> Result<NonNull<u8>, Error> {
        loop {
            if let Some(block) = self.bins[class].pop() {
                return Ok(block);
            }
            self.refill(class)?;
        }
    }

    /// Has the bin's first unit offer a word with free blocks.
    #[cold]
    fn refill(&mut self, class: usize) -> Result<(), Error> {
        let shape = &CLASSES[class];
        loop {
            let head = self.bins[class].head as usize;
            let unit = &self.spans.units()[head];
            if head == NONE as usize {
                self.admit(shape.counted(1))?;
                let number = self.spans.take(1, 1).ok_or(Error::NoMemory)?;
                self.spans.units()[number].start(class);
                self.link(class, number);
            } else if let Some(word) = unit.free.iter().position(|word| word.get() != 0) {
                let memory = self.spans.memory(head).wrapping_add(word * 64 * shape.size as usize);
                let bin = &mut self.bins[class];
                (bin.unit, bin.word, bin.memory) = (unit, &unit.free[word], memory);
                return Ok(());
            } else if unit.carved.get() < shape.count {
                let carved = usize::from(unit.carved.get());
                let wanted = shape.counted(carved + 1);
                let blocks = (wanted / shape.size as usize).min(usize::from(shape.count));
                let more = wanted - shape.counted(carved);
                self.admit(more)?;
                self.used.store(self.used.load(Relaxed) + more, Relaxed);
                unit.carve(blocks);
            } else {
                // Full: out of the list until a block is freed.
                unit.notice.set(u32::from(shape.count) - 1);
                self.unlink(class, head);
            }
        }
    }

    /// A unit was full, or has no block any more and is not the first of its list: that stays, for the next allocation.
    fn noticed(&mut self, class: usize, number: usize) {
        if self.spans.units()[number].used.get() != 0 {
            self.link(class, number);
        } else {
            self.retire(class, number);
        }
    }

    /// Frees a unit of small blocks that has none.
    fn retire(&mut self, class: usize, number: usize) {
        let unit = &self.spans.units()[number];
        self.unlink(class, number);
        unit.dirty.set(true);
        unit.set_kind(0);
        self.discount(CLASSES[class].counted(usize::from(unit.carved.replace(0))));
        self.spans.free(number, 1, self.used.load(Relaxed));
    }

    /// Frees the empty units that bins keep.
    fn release_empty(&mut self) {
        for class in 1..CLASSES.len() {
            let head = self.bins[class].head as usize;
            let unit = &self.spans.units()[head];
            if head != NONE as usize && unit.used.get() == 0 && unit.carved.get() != 0 {
                self.retire(class, head);
            }
        }
    }

    /// Adds a unit to a bin's list, behind the first.
    fn link(&mut self, class: usize, number: usize) {
        let units = self.spans.units();
        let bin = &mut self.bins[class];
        let unit = &units[number];
        unit.previous.set(bin.head);
        if bin.head == NONE {
            unit.next.set(NONE);
            unit.notice.set(NEVER);
            bin.head = number as u32;
            return;
        }
        unit.notice.set(0);
        let next = units[bin.head as usize].next.replace(number as u32);
        unit.next.set(next);
        if next != NONE {
            units[next as usize].previous.set(number as u32);
        }
    }

    fn unlink(&mut self, class: usize, number: usize) {
        let units = self.spans.units();
        let bin = &mut self.bins[class];
        let (previous, next) = (units[number].previous.get(), units[number].next.get());
        if next != NONE {
            units[next as usize].previous.set(previous);
        }
        if previous != NONE {
            units[previous as usize].next.set(next);
        } else {
            bin.head = next;
            (bin.unit, bin.word) = (&units[NONE as usize], &units[NONE as usize].free[0]);
            if next != NONE {
                units[next as usize].notice.set(NEVER);
            }
        }
    }

    /// A block with units of its own, and addresses for `slack` bytes more.
    fn large(&mut self, size: usize, alignment: usize, slack: usize) -> Result<NonNull<u8>, Error> {
        let bytes = self.granules(size)?;
        if alignment > SLOT_ALIGN {
            return Err(Error::NoMemory);
        }
        self.admit(bytes)?;
        let (needed, alignment) = (bytes.div_ceil(UNIT), alignment.div_ceil(UNIT));
        let generous = needed + slack / UNIT;
        let (len, number) = match self.spans.take(generous, alignment) {
            Some(number) => (generous, number),
            None => (needed, self.spans.take(needed, alignment).ok_or(Error::NoMemory)?),
        };
        let unit = &self.spans.units()[number];
        unit.len.set(len as u32);
        unit.size.store((bytes / GRANULE) as u32, Relaxed);
        unit.carved.set(0);
        unit.set_kind(LARGE);
        self.used.store(self.used.load(Relaxed) + bytes, Relaxed);
        // SAFETY: in the middle of a mapping.
        Ok(unsafe { NonNull::new_unchecked(self.spans.memory(number)) })
    }

    /// True if the limit allows this many more bytes in blocks.
    fn admit(&mut self, bytes: usize) -> Result<(), Error> {
        if bytes > self.limit.saturating_sub(self.used.load(Relaxed)) {
            self.release_empty();
            if bytes > self.limit.saturating_sub(self.used.load(Relaxed)) {
                return Err(self.refusal());
            }
        }
        Ok(())
    }

    fn discount(&self, bytes: usize) {
        self.used.store(self.used.load(Relaxed) - bytes, Relaxed);
    }

    /// Bytes that a large block takes.
    fn granules(&self, size: usize) -> Result<usize, Error> {
        size.max(1).checked_next_multiple_of(GRANULE).ok_or_else(|| self.refusal())
    }

    fn refusal(&self) -> Error {
        if self.limit == usize::MAX { Error::NoMemory } else { Error::Limit }
    }

    /// The live block that an address of the heap's range starts.
    fn find(&self, address: usize) -> Result<Block, Error> {
        let corrupt = |corruption| Err(Error::corrupt(corruption, address));
        let Some((number, unit, offset)) = self.spans.find(address) else { return corrupt(Corruption::Unallocated) };
        if !address.is_multiple_of(ALIGN) {
            return corrupt(Corruption::Misaligned);
        }
        match unit.class() {
            Some(class) => {
                let index = block_at(offset, class.reciprocal);
                if index >= usize::from(unit.carved.get()) {
                    corrupt(Corruption::Unallocated)
                } else if !offset.is_multiple_of(class.size as usize) {
                    corrupt(Corruption::Interior)
                } else if unit.free[index / 64].get() & 1 << (index % 64) != 0 {
                    corrupt(Corruption::Freed)
                } else {
                    Ok(Block { number, unit, place: Place::Small { class: usize::from(unit.kind()), index } })
                }
            }
            None if offset != 0 => corrupt(Corruption::Interior),
            None => Ok(Block { number, unit, place: Place::Large }),
        }
    }
}

impl Bin {
    #[inline]
    fn pop(&mut self) -> Option<NonNull<u8>> {
        let free = self.word.get();
        if free == 0 {
            return None;
        }
        self.word.set(free & (free - 1));
        self.unit.used.set(self.unit.used.get().wrapping_add(1));
        let block = self.memory.wrapping_add(free.trailing_zeros() as usize * self.size as usize);
        // SAFETY: in the middle of a mapping.
        Some(unsafe { NonNull::new_unchecked(block) })
    }
}

impl Block {
    fn size(&self) -> usize {
        match self.place {
            Place::Small { class, .. } => CLASSES[class].size as usize,
            Place::Large => large_size(self.unit),
        }
    }
}

/// Bytes of the large block that starts at a unit.
fn large_size(unit: &Unit) -> usize {
    unit.size.load(Relaxed) as usize * GRANULE
}
