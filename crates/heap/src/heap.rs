//! A heap as its owner has it, and the functions that take any address.

use std::cell::UnsafeCell;
use std::hash::{BuildHasher as _, RandomState};
use std::hint;
use std::io;
use std::ptr::{self, NonNull};
use std::sync::LazyLock;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use crate::blocks::Blocks;
use crate::classes::{ALIGN, CLASSES, GRANULE, UNIT};
use crate::error::{Corruption, Error};
use crate::region::{FIRST_COMMIT, Size, Slot};
use crate::spans::Spans;
use crate::system;
use crate::unit::{LARGE, Unit};

/// The memory of one VM. Freed whole when dropped, on any thread.
///
/// # Threads
///
/// The functions that allocate and free are for one thread at a time: that which runs the VM. They take no lock. Two kinds of other threads
/// are provided for:
///
/// - A thread that does not run the VM frees with [`free`], which puts the block on a list, and the heap takes it from there.
/// - Threads that the plugin starts allocate too: [`share`](Heap::share) before the first is started. From then on each operation takes
///   a lock.
///
/// # After a crash
///
/// A heap may be left at any instruction of its functions if it is only dropped afterwards. If it was left in the middle of one, no thread may
/// allocate from it again: a shared heap may remain locked, and threads that use it wait for ever.
pub struct Heap {
    slot: Slot,
    header: &'static Header,
}

/// Where the owner and other threads meet; the first field of a [`Header`]. Zero is the gate of a heap that has ended.
struct Gate {
    /// The number of the heap, while it is alive.
    id: AtomicU64,
    locked: AtomicBool,
    shared: AtomicBool,
    /// The block that another thread freed last; each has the address of the one before, mixed with the secret.
    freed_elsewhere: AtomicUsize,
    secret: AtomicUsize,
}

/// A heap's own fields, at the start of its table.
#[repr(C)]
struct Header {
    gate: Gate,
    blocks: UnsafeCell<Blocks>,
}

/// Names a heap: no two of a process have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HeapId(u64);

/// Whose an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A live heap's range has it, allocated or not.
    Heap(HeapId),
    /// It is in a range of heaps, but no live heap has it.
    Nobody,
}

static IDS: AtomicU64 = AtomicU64::new(1);

/// Of which a heap's secret is made: its keys are random, and are asked for once, not for each heap.
static SECRETS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

// SAFETY: it refers to memory that any thread may use; the functions that need one at a time say so.
unsafe impl Send for Heap {}
// SAFETY: as above.
unsafe impl Sync for Heap {}

impl Heap {
    /// Creates a heap whose blocks take at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// The process may not have the addresses, or the system has no memory.
    pub fn new(limit: Option<usize>) -> io::Result<Heap> {
        let (slot, warm) = Slot::take(Size::for_limit(limit))?;
        let header = slot.header::<Header>();
        // SAFETY: nobody else has the slot. Threads with an address of an ended heap look at the gate alone, and only change its lock.
        let header = unsafe {
            // Whole granules, as they are counted.
            let limit = limit.map_or(usize::MAX, |limit| limit / GRANULE * GRANULE);
            (&raw mut (*header).blocks).write(UnsafeCell::new(Blocks::new(slot, warm, limit)));
            &*header
        };
        let gate = &header.gate;
        gate.shared.store(false, Relaxed);
        gate.freed_elsewhere.store(0, Relaxed);
        let id = IDS.fetch_add(1, Relaxed);
        gate.secret.store(SECRETS.hash_one(id) as usize, Relaxed);
        gate.id.store(id, Release);
        Ok(Heap { slot, header })
    }

    /// The name of this heap.
    pub fn id(&self) -> HeapId {
        HeapId(self.gate().id.load(Relaxed))
    }

    /// Bytes of memory that blocks take, in units of 4 KiB; for any thread.
    pub fn used(&self) -> usize {
        // SAFETY: the field is atomic, and only it is looked at.
        unsafe { (*Blocks::used_of(self.header.blocks.get())).load(Relaxed) }
    }

    /// Whether the heap's range has an address.
    pub fn contains(&self, address: *const u8) -> bool {
        Slot::of(address as usize).is_some_and(|slot| slot.same(self.slot))
    }

    /// Allocates.
    ///
    /// # Errors
    ///
    /// As [`Error`] says; `Corrupt` if a block that another thread freed is found damaged.
    ///
    /// # Safety
    ///
    /// No other thread is in a function of this heap, unless it is shared.
    #[inline]
    pub unsafe fn malloc(&self, size: usize) -> Result<NonNull<u8>, Error> {
        // SAFETY: the caller's promise.
        unsafe { self.malloc_fast(size).map_or_else(|| self.memalign(ALIGN, size), Ok) }
    }

    /// The part of [`malloc`](Heap::malloc) that takes a few instructions; `None` for all else.
    ///
    /// # Safety
    ///
    /// As [`malloc`](Heap::malloc)'s.
    #[inline]
    pub unsafe fn malloc_fast(&self, size: usize) -> Option<NonNull<u8>> {
        if self.gate().shared.load(Relaxed) {
            return None;
        }
        // SAFETY: the caller's promise: nobody else uses them.
        unsafe { (*self.blocks()).allocate_fast(size) }
    }

    /// Allocates at a multiple of a power of two. Of more than 4 MiB there is no memory.
    ///
    /// # Errors
    ///
    /// As [`malloc`](Heap::malloc)'s.
    ///
    /// # Safety
    ///
    /// As [`malloc`](Heap::malloc)'s.
    pub unsafe fn memalign(&self, alignment: usize, size: usize) -> Result<NonNull<u8>, Error> {
        debug_assert!(alignment.is_power_of_two());
        // SAFETY: the caller's promise.
        unsafe { self.enter(|blocks| blocks.allocate(size, alignment)) }
    }

    /// Allocates `count` times `size` bytes of zeros.
    ///
    /// # Errors
    ///
    /// As [`malloc`](Heap::malloc)'s.
    ///
    /// # Safety
    ///
    /// As [`malloc`](Heap::malloc)'s.
    pub unsafe fn calloc(&self, count: usize, size: usize) -> Result<NonNull<u8>, Error> {
        // SAFETY: the caller's promise.
        unsafe { self.enter(|blocks| blocks.allocate_zeroed(count.saturating_mul(size))) }
    }

    /// Frees a block of any heap.
    ///
    /// # Errors
    ///
    /// `NotOurs` and `Corrupt`.
    ///
    /// # Safety
    ///
    /// As [`malloc`](Heap::malloc)'s. Nobody refers to the block, if there is one at the address.
    pub unsafe fn free(&self, address: *mut u8) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        if unsafe { self.free_fast(address) } {
            return Ok(());
        }
        if self.contains(address) {
            // SAFETY: the caller's promise.
            unsafe { self.enter(|blocks| blocks.free(address as usize)) }
        } else {
            // SAFETY: the caller's promise.
            unsafe { free(address) }
        }
    }

    /// The part of [`free`](Heap::free) that takes a few instructions. Otherwise nothing is changed.
    ///
    /// # Safety
    ///
    /// As [`free`](Heap::free)'s.
    #[inline]
    pub unsafe fn free_fast(&self, address: *mut u8) -> bool {
        // SAFETY: the caller's promise: nobody else uses them.
        !self.gate().shared.load(Relaxed) && unsafe { (*self.blocks()).free_fast(address as usize) }
    }

    /// Changes the size of a block of any heap. The result is of this one.
    ///
    /// # Errors
    ///
    /// As [`Error`] says. The block stays as it was.
    ///
    /// # Safety
    ///
    /// As [`malloc`](Heap::malloc)'s. Nobody refers to the block, if there is one at the address.
    pub unsafe fn realloc(&self, address: *mut u8, size: usize) -> Result<NonNull<u8>, Error> {
        let Some(block) = NonNull::new(address) else {
            // SAFETY: the caller's promise.
            return unsafe { self.malloc(size) };
        };
        let own = self.contains(address);
        let resize = |blocks: &mut Blocks| {
            let at = address as usize;
            let old = if own { blocks.size_of(at)? } else { usable_size(address)? };
            if own && blocks.resize(at, size)? {
                return Ok((block, None));
            }
            let new = if size > old { blocks.allocate_to_grow(size)? } else { blocks.allocate(size, ALIGN)? };
            Ok((new, Some(old)))
        };
        // SAFETY: the caller's promise. Both blocks are as long as is copied, and two.
        unsafe {
            let (new, moved) = self.enter(resize)?;
            if let Some(old) = moved {
                ptr::copy_nonoverlapping(address, new.as_ptr(), old.min(size));
                self.free(address)?;
            }
            Ok(new)
        }
    }

    /// Gives free memory back to the system. For a VM that is idle.
    ///
    /// # Errors
    ///
    /// `Corrupt` if a block that another thread freed is found damaged.
    ///
    /// # Safety
    ///
    /// As [`malloc`](Heap::malloc)'s.
    pub unsafe fn trim(&self) -> Result<(), Error> {
        let trim = |blocks: &mut Blocks| {
            blocks.trim();
            Ok(())
        };
        // SAFETY: the caller's promise.
        unsafe { self.enter(trim) }
    }

    /// Allows threads to use the heap at the same time, for ever.
    ///
    /// # Safety
    ///
    /// No other thread is in a function of this heap, unless it is shared.
    pub unsafe fn share(&self) {
        let gate = self.gate();
        let _lock = gate.lock();
        gate.shared.store(true, Relaxed);
    }

    /// Leaves the heap to what lives on of its plugin, threads above all. Its range is not used again.
    pub fn leak(self) -> &'static Heap {
        Box::leak(Box::new(self))
    }

    #[inline]
    fn gate(&self) -> &Gate {
        &self.header.gate
    }

    #[inline]
    fn blocks(&self) -> *mut Blocks {
        self.header.blocks.get()
    }

    /// Works on the blocks, after those that other threads freed are taken back.
    ///
    /// # Safety
    ///
    /// No other thread is in a function of this heap, unless it is shared.
    #[cold]
    unsafe fn enter<T>(&self, work: impl FnOnce(&mut Blocks) -> Result<T, Error>) -> Result<T, Error> {
        let gate = self.gate();
        let _lock = gate.shared.load(Relaxed).then(|| gate.lock());
        // SAFETY: the caller's promise, or the lock: nobody else uses them.
        let blocks = unsafe { &mut *self.blocks() };
        if gate.freed_elsewhere.load(Relaxed) != 0 {
            gate.take_back(blocks)?;
        }
        work(blocks)
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        let gate = self.gate();
        // A plugin that crashed in a shared heap may have left it locked. Its range is given up.
        let Some(lock) = gate.try_lock() else {
            gate.id.store(0, Relaxed);
            return;
        };
        gate.id.store(0, Relaxed);
        // SAFETY: the owner is gone, and threads with an address of this heap find that it has ended.
        let wiped = unsafe { wipe(self.slot, (*self.blocks()).spans()) };
        drop(lock);
        if let Ok(warm) = wiped {
            // SAFETY: it is as it was, and nobody uses it.
            unsafe { self.slot.give_back(warm) }
        }
    }
}

/// Memory that is cleared rather than given to the system: so much takes less time than its page faults.
const CLEAR: usize = 128 * 1024;

/// Makes a slot as it was when it was taken. Returns whether it keeps memory.
///
/// # Safety
///
/// Nobody uses it.
unsafe fn wipe(slot: Slot, spans: &Spans) -> io::Result<bool> {
    let (units, committed) = (spans.touched(), spans.committed());
    let end = |number: usize| FIRST_COMMIT.saturating_sub(number) * UNIT;
    let written = || units.iter().enumerate().map(|(number, unit)| (number, unit.written().min(end(number))));
    let warm =
        units.len() <= FIRST_COMMIT && written().map(|(_, bytes)| bytes).sum::<usize>() <= CLEAR && Slot::may_be_warm();
    // SAFETY: units of the slot, and their part of the table.
    unsafe {
        if warm {
            written().for_each(|(number, bytes)| spans.memory(number).write_bytes(0, bytes));
        } else {
            system::discard(spans.memory(0), units.len().next_multiple_of(FIRST_COMMIT).min(slot.len()) * UNIT)?;
        }
        if committed > FIRST_COMMIT {
            system::set_access(spans.memory(FIRST_COMMIT), (committed - FIRST_COMMIT) * UNIT, false)?;
        }
        system::clear(slot.units().cast(), size_of_val(units))?;
    }
    Ok(warm)
}

/// Frees a block of any heap, on any thread: for one without a heap, or with another.
///
/// # Errors
///
/// `NotOurs` and `Corrupt`.
///
/// # Safety
///
/// Nobody refers to the block, if there is one at the address.
pub unsafe fn free(address: *mut u8) -> Result<(), Error> {
    let slot = Slot::of(address as usize).ok_or(Error::NotOurs)?;
    let gate = Gate::of(slot);
    let _lock = gate.lock();
    if gate.id.load(Acquire) == 0 {
        return Err(Error::corrupt(Corruption::Ended, address as usize));
    }
    if gate.shared.load(Relaxed) {
        // SAFETY: the heap is alive, and the lock is held.
        return unsafe { (*(*slot.header::<Header>()).blocks.get()).free(address as usize) };
    }
    block_size(slot, address as usize)?;
    gate.put(address);
    Ok(())
}

/// The bytes that a block of any heap holds; for any thread.
///
/// # Errors
///
/// `NotOurs` and `Corrupt`.
pub fn usable_size(address: *const u8) -> Result<usize, Error> {
    let slot = Slot::of(address as usize).ok_or(Error::NotOurs)?;
    block_size(slot, address as usize)
}

/// Whose an address is: `None` if no heap's. No lock is taken; signal handlers may ask.
#[inline]
pub fn owner(address: *const u8) -> Option<Owner> {
    let slot = Slot::of(address as usize)?;
    let id = Gate::of(slot).id.load(Relaxed);
    Some(if id == 0 { Owner::Nobody } else { Owner::Heap(HeapId(id)) })
}

/// The size of the block at an address, as far as threads that do not own the heap can tell: what is live does not change.
fn block_size(slot: Slot, address: usize) -> Result<usize, Error> {
    let offset = address.wrapping_sub(slot.data() as usize);
    let corrupt = |what| Err(Error::corrupt(what, address));
    if offset / UNIT >= slot.len() {
        return corrupt(Corruption::Unallocated);
    }
    // SAFETY: an element of the table, of which the two atomic fields are looked at.
    let unit: &Unit = unsafe { &*slot.units().add(offset / UNIT) };
    let kind = unit.kind();
    if !address.is_multiple_of(ALIGN) {
        corrupt(Corruption::Misaligned)
    } else if kind == LARGE {
        let size = unit.size.load(Relaxed) as usize * GRANULE;
        if offset.is_multiple_of(UNIT) { Ok(size) } else { corrupt(Corruption::Interior) }
    } else {
        match CLASSES[usize::from(kind)] {
            class if class.count == 0 => corrupt(Corruption::Unallocated),
            class if !(offset % UNIT).is_multiple_of(class.size as usize) => corrupt(Corruption::Interior),
            class => Ok(class.size as usize),
        }
    }
}

/// Holds a gate's lock.
struct Lock<'a>(&'a Gate);

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        self.0.locked.store(false, Release);
    }
}

impl Gate {
    fn of(slot: Slot) -> &'static Gate {
        // SAFETY: all tables can be read, and zero is a gate.
        unsafe { &*slot.header::<Gate>() }
    }

    /// Takes the lock. It is held for some hundred instructions, now and then a request to the kernel.
    fn lock(&self) -> Lock<'_> {
        loop {
            if let Some(lock) = self.try_lock() {
                return lock;
            }
            std::thread::sleep(std::time::Duration::from_micros(100));
        }
    }

    /// Tries for a while.
    fn try_lock(&self) -> Option<Lock<'_>> {
        for attempt in 0..1000 {
            if !self.locked.swap(true, Acquire) {
                return Some(Lock(self));
            }
            if attempt < 100 { hint::spin_loop() } else { std::thread::yield_now() }
        }
        None
    }

    /// Puts a block on the list, with the lock held.
    fn put(&self, block: *mut u8) {
        let secret = self.secret.load(Relaxed);
        let mut last = self.freed_elsewhere.load(Relaxed);
        loop {
            // SAFETY: a block of at least 16 bytes, which its user has freed.
            unsafe { block.cast::<usize>().write(last ^ secret) }
            match self.freed_elsewhere.compare_exchange_weak(last, block as usize, Release, Relaxed) {
                Ok(_) => return,
                Err(now) => last = now,
            }
        }
    }

    /// Frees the blocks of the list.
    #[cold]
    fn take_back(&self, blocks: &mut Blocks) -> Result<(), Error> {
        let secret = self.secret.load(Relaxed);
        let mut next = self.freed_elsewhere.swap(0, Acquire);
        let mut first = true;
        while next != 0 {
            let damaged = Error::corrupt(Corruption::Overwritten, next);
            blocks.size_of(next).map_err(|error| if first { error } else { damaged })?;
            // SAFETY: a live block of this heap.
            let before = unsafe { ptr::with_exposed_provenance::<usize>(next).read() } ^ secret;
            blocks.free(next)?;
            (next, first) = (before, false);
        }
        Ok(())
    }
}
