//! Free spans: runs of neighboring units, found by their length in constant time, joined with their neighbors when they are freed.

use std::iter;

use crate::classes::UNIT;
use crate::region::{FIRST_COMMIT, Slot};
use crate::system;
use crate::unit::{NONE, Unit};

/// Lists of spans: one for each length up to 7 units, then four between powers of two.
const LISTS: usize = 64;

/// Spans of a list to look at for one that is long enough, where not all are.
const TRIES: usize = 8;

/// Units of free memory that a heap keeps, however little it uses: 4 MiB.
const KEEP: usize = 256;

/// The units of a heap.
pub(crate) struct Spans {
    /// The memory of the first unit.
    data: *mut u8,
    units: &'static [Unit],
    /// Where units begin that no span and no block has.
    top: usize,
    /// The highest that `top` ever was.
    high: usize,
    /// Where units begin that cannot be accessed.
    committed: usize,
    /// Where units begin that are zero unless they are dirty.
    zero: usize,
    /// Free units whose memory may hold more than zeros.
    dirty: usize,
    /// Of these, those that could not be given back: pages may be larger than units.
    stuck: usize,
    /// The lists that are not empty.
    filled: u64,
    lists: [u32; LISTS],
}

/// The list of spans of a length: all in higher lists are at least as long.
fn list_of(len: usize) -> usize {
    if len < 4 {
        return len;
    }
    let power = len.ilog2() as usize;
    ((power - 1) * 4 + (len >> (power - 2) & 3)).min(LISTS - 1)
}

impl Spans {
    /// # Safety
    ///
    /// The slot is as [`Slot::take`] returns it.
    pub(crate) unsafe fn new(slot: Slot, warm: bool) -> Spans {
        // SAFETY: the table is as long, and zero is a unit. Threads share its atomic fields alone.
        let units = unsafe { std::slice::from_raw_parts(slot.units(), slot.len()) };
        let (top, lists) = (NONE as usize + 1, [NONE; LISTS]);
        let zero = if warm { FIRST_COMMIT } else { 0 };
        Spans {
            zero,
            data: slot.data(),
            units,
            top,
            high: top,
            committed: FIRST_COMMIT,
            dirty: 0,
            stuck: 0,
            filled: 0,
            lists,
        }
    }

    #[inline]
    pub(crate) fn units(&self) -> &'static [Unit] {
        self.units
    }

    /// The first byte of a unit.
    #[inline]
    pub(crate) fn memory(&self, unit: usize) -> *mut u8 {
        self.data.wrapping_add(unit * UNIT)
    }

    /// The unit that an address is in, and the offset in it.
    #[inline]
    pub(crate) fn find(&self, address: usize) -> Option<(usize, &'static Unit, usize)> {
        let offset = address.wrapping_sub(self.data as usize);
        self.units.get(offset / UNIT).map(|unit| (offset / UNIT, unit, offset % UNIT))
    }

    /// Whether the memory of a unit is zero, as far as is known.
    pub(crate) fn is_zero(&self, unit: usize) -> bool {
        unit >= self.zero && !self.units[unit].dirty.get()
    }

    /// The units that have been used.
    pub(crate) fn touched(&self) -> &'static [Unit] {
        &self.units[..self.high.min(self.units.len())]
    }

    /// Units that can be accessed.
    pub(crate) fn committed(&self) -> usize {
        self.committed.min(self.units.len())
    }

    /// Takes units, of which the first is aligned to `alignment` units. `None` if there is no room.
    pub(crate) fn take(&mut self, len: usize, alignment: usize) -> Option<usize> {
        let wanted = len.checked_add(alignment - 1)?;
        let (start, found) = match self.search(wanted) {
            Some(start) => {
                self.unlink(start);
                (start, self.units[start].len.get() as usize)
            }
            None => (self.extend(self.top, wanted)?, wanted),
        };
        let misplaced = self.memory(start) as usize / UNIT % alignment;
        let first = start + if misplaced == 0 { 0 } else { alignment - misplaced };
        self.link(start, first - start);
        self.link(first + len, start + found - first - len);
        self.use_up(first, len);
        Some(first)
    }

    /// Takes the units from one on that is not part of a block. Returns whether they are free.
    pub(crate) fn take_at(&mut self, start: usize, len: usize) -> bool {
        let free = if self.units[start].edge.get() { self.units[start].len.get() as usize } else { 0 };
        if free >= len {
            self.unlink(start);
            self.link(start + len, free - len);
        } else if start + free != self.top || self.extend(start, len).is_none() {
            return false;
        }
        self.use_up(start, len);
        true
    }

    /// Frees units that were taken, and may have been written to. `in_use`: bytes of all that are allocated; free memory beyond as much
    /// goes back to the system.
    pub(crate) fn free(&mut self, start: usize, len: usize, in_use: usize) {
        for unit in &self.units[start..start + len] {
            unit.dirty.set(true);
        }
        self.dirty += len;
        let (mut first, mut end) = (start, start + len);
        if self.units[first - 1].edge.get() {
            first -= self.units[first - 1].len.get() as usize;
            self.unlink(first);
        }
        if self.units[end].edge.get() {
            let after = self.units[end].len.get() as usize;
            self.unlink(end);
            end += after;
        }
        self.link(first, end - first);
        if self.dirty > self.stuck + KEEP.max(in_use / UNIT) {
            self.release();
        }
    }

    /// Gives the memory of all free units to the system.
    pub(crate) fn release(&mut self) {
        for list in 0..LISTS {
            let following = |unit: &u32| Some(self.units[*unit as usize].next.get());
            let spans = iter::successors(Some(self.lists[list]), following).take_while(|unit| *unit != NONE);
            self.dirty -= spans.map(|start| self.discard(start as usize)).sum::<usize>();
        }
        self.stuck = self.dirty;
        if self.units[self.top - 1].edge.get() {
            let start = self.top - self.units[self.top - 1].len.get() as usize;
            self.unlink(start);
            self.top = start;
        }
    }

    /// Gives the memory of a free span to the system. Returns how many units are clean by that.
    fn discard(&self, start: usize) -> usize {
        let end = start + self.units[start].len.get() as usize;
        // Pages may be larger than units.
        let page = system::page_size().div_ceil(UNIT);
        let shift = self.memory(0) as usize / UNIT % page;
        let mut at = (start + shift).next_multiple_of(page) - shift;
        let last = ((end + shift) / page * page).saturating_sub(shift);
        let dirty = |unit: &usize| self.units[*unit].dirty.get();
        let mut cleaned = 0;
        while at < last {
            let Some(from) = (at..last).find(dirty) else { break };
            let from = (from + shift) / page * page - shift;
            at = (from..last)
                .step_by(page)
                .find(|page_at| !(*page_at..page_at + page).any(|unit| dirty(&unit)))
                .unwrap_or(last);
            // SAFETY: whole pages of units that are free.
            if unsafe { system::discard(self.memory(from), (at - from) * UNIT) }.is_ok() {
                cleaned += self.units[from..at].iter().filter(|unit| unit.dirty.replace(false)).count();
            }
        }
        cleaned
    }

    /// A span of at least this many units.
    fn search(&self, len: usize) -> Option<usize> {
        let list = list_of(len);
        let at = |unit: u32| &self.units[unit as usize];
        let similar = iter::successors(Some(self.lists[list]), |unit| Some(at(*unit).next.get()));
        let fitting =
            similar.take(TRIES).take_while(|unit| *unit != NONE).find(|unit| at(*unit).len.get() as usize >= len);
        if let Some(unit) = fitting {
            return Some(unit as usize);
        }
        let longer = self.filled & u64::MAX.checked_shl(list as u32 + 1).unwrap_or(0);
        (longer != 0).then(|| self.lists[longer.trailing_zeros() as usize] as usize)
    }

    /// Raises the top for a span there, after the free span that ends there. Returns where it starts, in no list.
    fn extend(&mut self, at: usize, len: usize) -> Option<usize> {
        let before = &self.units[self.top - 1];
        let start = if before.edge.get() { self.top - before.len.get() as usize } else { self.top };
        debug_assert!(at == self.top || at == start);
        let end = start.checked_add(len)?;
        // The last unit is never used: each has one behind it.
        if end >= self.units.len() || !self.commit(end) {
            return None;
        }
        if start != self.top {
            self.unlink(start);
        }
        self.top = end;
        self.high = self.high.max(end);
        Some(start)
    }

    /// Makes the units before `end` accessible.
    fn commit(&mut self, end: usize) -> bool {
        if end <= self.committed {
            return true;
        }
        // Twice as much each time, so that the kernel is asked rarely.
        let target = (self.committed * 2).max(end.next_multiple_of(FIRST_COMMIT)).min(self.units.len());
        let from = self.memory(self.committed);
        // SAFETY: units of this heap, behind all others that are used.
        if unsafe { system::set_access(from, (target - self.committed) * UNIT, true) }.is_err() {
            return false;
        }
        self.committed = target;
        true
    }

    /// Notes that units are no longer free.
    fn use_up(&mut self, start: usize, len: usize) {
        if self.dirty != 0 {
            self.dirty -= self.units[start..start + len].iter().filter(|unit| unit.dirty.get()).count();
        }
    }

    /// Adds a span, which may be of no units.
    fn link(&mut self, start: usize, len: usize) {
        if len == 0 {
            return;
        }
        for edge in [start, start + len - 1] {
            self.units[edge].edge.set(true);
            self.units[edge].len.set(len as u32);
        }
        let list = list_of(len);
        let next = std::mem::replace(&mut self.lists[list], start as u32);
        self.units[start].next.set(next);
        self.units[start].previous.set(NONE);
        if next != NONE {
            self.units[next as usize].previous.set(start as u32);
        }
        self.filled |= 1 << list;
    }

    /// Takes a span from its list.
    fn unlink(&mut self, start: usize) {
        let unit = &self.units[start];
        let len = unit.len.get() as usize;
        unit.edge.set(false);
        self.units[start + len - 1].edge.set(false);
        let (previous, next) = (unit.previous.get(), unit.next.get());
        if next != NONE {
            self.units[next as usize].previous.set(previous);
        }
        if previous != NONE {
            self.units[previous as usize].next.set(next);
        } else {
            let list = list_of(len);
            self.lists[list] = next;
            if next == NONE {
                self.filled &= !(1 << list);
            }
        }
    }
}
