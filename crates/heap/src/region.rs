//! The addresses of all heaps: a few chunks, divided into equal slots, one for each heap.
//!
//! A chunk is one reservation: the slots, then a table for each slot in which its heap keeps what it knows of its memory. So all tables
//! lie together, share their page tables and are one mapping, and no overflow of a block reaches one.

use std::collections::VecDeque;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::classes::UNIT;
use crate::system;
use crate::unit::Unit;

/// The alignment of slots, unless they are smaller: the largest that can be asked for.
pub(crate) const SLOT_ALIGN: usize = 4 << 20;

/// Units at the start of a slot that are not used: a guard, and in the table the place of the heap's own fields.
pub(crate) const GUARD: usize = 32;

/// Units behind the guard that can be used without asking the kernel.
pub(crate) const FIRST_COMMIT: usize = 64;

/// A reservation.
pub(crate) struct Chunk {
    /// The first slot.
    base: usize,
    /// The size of a slot, as a power of two.
    shift: u32,
    slots: usize,
    /// Slots that a heap has been in.
    taken: AtomicUsize,
    wanted: Size,
}

/// The range of one heap.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    chunk: &'static Chunk,
    index: usize,
}

/// How large a slot should be. Smaller ones are used if there are no addresses for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// For heaps with a low limit: neighbors share more page tables.
    Small,
    /// For all others.
    Large,
}

/// The limit up to which a heap is in a small slot. The slot is larger, since blocks of a few bytes use a part of their units.
const SMALL_LIMIT: usize = 16 << 20;

/// Chunks to try, from large to small: sizes of a slot, as a power of two, and slots.
#[cfg(not(miri))]
const SMALL: &[(u32, usize)] = &[(26, 4096), (26, 256), (26, 16), (26, 4), (26, 1)];
#[cfg(not(miri))]
const LARGE: &[(u32, usize)] = &[(32, 1024), (30, 256), (28, 64), (26, 16), (26, 4), (26, 1)];

#[cfg(miri)]
const SMALL: &[(u32, usize)] = &[(22, 8)];
#[cfg(miri)]
const LARGE: &[(u32, usize)] = SMALL;

/// The part of a process's addresses that one chunk takes at most, as a divisor.
const SHARE: usize = 4;

/// The size of the first chunk; each further one may be four times as large as the one before. A process with a few VMs reserves little then:
/// emulators and some tools keep a record of every page that is reserved.
const FIRST_CHUNK: usize = 16 << 30;

static CHUNKS: [OnceLock<Chunk>; 32] = [const { OnceLock::new() }; 32];

/// Slots without a heap, that have had one; the longest ago first.
static ENDED: Mutex<VecDeque<Ended>> = Mutex::new(VecDeque::new());

#[derive(Clone, Copy)]
struct Ended {
    slot: Slot,
    /// It keeps some memory: the next heap there starts without page faults.
    warm: bool,
}

/// Heaps that have to end before the slot of one is used again: what a defective plugin frees too late is found to be of a heap that has ended.
const QUARANTINE: usize = 4;

/// Warm slots that are kept.
const WARM: usize = 2 * QUARANTINE;

impl Size {
    pub(crate) fn for_limit(limit: Option<usize>) -> Size {
        if limit.is_some_and(|limit| limit <= SMALL_LIMIT) { Size::Small } else { Size::Large }
    }
}

impl Chunk {
    /// Reserves one, after `earlier` others for this size; smaller if the process may not have that many addresses.
    fn reserve(wanted: Size, earlier: u32) -> io::Result<Chunk> {
        let limit = system::address_limit().unwrap_or(usize::MAX);
        let at_first = |shift: u32| (FIRST_CHUNK >> shift).max(1);
        let mut result = Err(io::ErrorKind::OutOfMemory.into());
        for &(shift, slots) in if wanted == Size::Small { SMALL } else { LARGE } {
            let slots = slots.min(at_first(shift).saturating_mul(4usize.saturating_pow(earlier)));
            if (slots << shift) <= limit / SHARE {
                result = Chunk::reserve_exactly(shift, slots, wanted);
            }
            if result.is_ok() {
                break;
            }
        }
        result
    }

    fn reserve_exactly(shift: u32, slots: usize, wanted: Size) -> io::Result<Chunk> {
        let (data, tables) = (slots << shift, slots * table_size(shift));
        let len = SLOT_ALIGN + data + tables;
        let address = system::reserve(len)?;
        let base = (address as usize).next_multiple_of(SLOT_ALIGN);
        // SAFETY: the tables are within the reservation, which is given back whole if it is not used.
        unsafe {
            let at = address.add(base - address as usize + data);
            if let Err(error) = system::set_access(at, tables, true) {
                system::release(address, len);
                return Err(error);
            }
            system::keep_from_dumps(at, tables);
        }
        Ok(Chunk {
            base: address.with_addr(base).expose_provenance(),
            shift,
            slots,
            taken: AtomicUsize::new(0),
            wanted,
        })
    }

    /// A slot that has had no heap.
    fn take(&'static self) -> io::Result<Option<Slot>> {
        let index = self.taken.load(Relaxed);
        if index == self.slots {
            return Ok(None);
        }
        let slot = Slot { chunk: self, index };
        // SAFETY: nobody uses the slot.
        unsafe { system::set_access(slot.data(), FIRST_COMMIT * UNIT, true)? };
        self.taken.store(index + 1, Relaxed);
        Ok(Some(slot))
    }
}

const fn table_size(shift: u32) -> usize {
    (1 << shift) / UNIT * size_of::<Unit>()
}

impl Slot {
    /// A slot that no heap is in: its first units can be used, and nothing is left there of another heap. Returns also whether it is warm:
    /// then a defective plugin may still have written there where it had no block.
    pub(crate) fn take(size: Size) -> io::Result<(Slot, bool)> {
        let mut ended = ENDED.lock().unwrap_or_else(PoisonError::into_inner);
        let mut suitable =
            ended.iter().enumerate().filter(|(_, ended)| ended.slot.chunk.wanted == size).map(|(at, _)| at);
        if let Some(at) = suitable.next()
            && suitable.nth(QUARANTINE - 1).is_some()
        {
            return Ok(ended.remove(at).map(|ended| (ended.slot, ended.warm)).expect("found there"));
        }
        // Where there are no addresses, or no mappings, for such a slot, any will do.
        match Slot::take_new(size) {
            Ok(slot) => Ok((slot, false)),
            Err(error) => ended.pop_front().map_or(Err(error), |ended| Ok((ended.slot, ended.warm))),
        }
    }

    /// A slot that has had no heap, of a new chunk if need be. For the holder of `ENDED`'s lock.
    fn take_new(size: Size) -> io::Result<Slot> {
        let mut earlier = 0;
        for chunk in &CHUNKS {
            let chunk = match chunk.get() {
                Some(chunk) => chunk,
                None => {
                    let new = Chunk::reserve(size, earlier)?;
                    chunk.get_or_init(|| new)
                }
            };
            if chunk.wanted == size {
                if let Some(slot) = chunk.take()? {
                    return Ok(slot);
                }
                earlier += 1;
            }
        }
        Err(io::ErrorKind::OutOfMemory.into())
    }

    /// Whether a slot that is given back may keep memory.
    pub(crate) fn may_be_warm() -> bool {
        ENDED.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|ended| ended.warm).count() < WARM
    }

    /// Lets others have the slot.
    ///
    /// # Safety
    ///
    /// Its memory is as [`Slot::take`] promises, and nothing refers to it.
    pub(crate) unsafe fn give_back(self, warm: bool) {
        ENDED.lock().unwrap_or_else(PoisonError::into_inner).push_back(Ended { slot: self, warm });
    }

    /// The slot that an address is in. Async-signal-safe.
    #[inline]
    pub(crate) fn of(address: usize) -> Option<Slot> {
        for chunk in &CHUNKS {
            let chunk = chunk.get()?;
            let index = address.wrapping_sub(chunk.base) >> chunk.shift;
            if index < chunk.slots {
                return Some(Slot { chunk, index });
            }
        }
        None
    }

    pub(crate) fn same(self, other: Slot) -> bool {
        ptr::eq(self.chunk, other.chunk) && self.index == other.index
    }

    /// The units behind the guard.
    pub(crate) fn len(self) -> usize {
        (1 << self.chunk.shift) / UNIT - GUARD
    }

    /// The memory of the first unit behind the guard.
    pub(crate) fn data(self) -> *mut u8 {
        let chunk = self.chunk;
        ptr::with_exposed_provenance_mut(chunk.base + (self.index << chunk.shift) + GUARD * UNIT)
    }

    /// What is known of the units behind the guard.
    pub(crate) fn units(self) -> *mut Unit {
        self.header::<Unit>().wrapping_add(GUARD)
    }

    /// The place for a heap's own fields: as large as the guard's part of the table.
    pub(crate) fn header<T>(self) -> *mut T {
        const { assert!(size_of::<T>() <= GUARD * size_of::<Unit>() && align_of::<T>() <= align_of::<Unit>()) };
        let chunk = self.chunk;
        let tables = chunk.base + (chunk.slots << chunk.shift);
        ptr::with_exposed_provenance_mut(tables + self.index * table_size(chunk.shift))
    }
}
