//! The table of mapped images by address.
//!
//! Unwinders look here for each frame, also in signal handlers, while other threads map and unmap images. So it takes no lock to look: there
//! are two sorted arrays, and a version that says which of them holds. Who changes something writes the other array and then the version.
//! Who looks reads the version before and after, and looks again if it has changed.

use std::ops::Range;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};

use super::Record;

/// An image as the table has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Address of the table of unwinding information; 0: it has none.
    pub(crate) unwind_table: usize,
    /// The [`Record`]. It lives as long as the image is mapped, which only its own code can rely on.
    pub(crate) record: usize,
}

#[derive(Default)]
struct Entry([AtomicUsize; 4]);

impl Entry {
    fn load(&self) -> Found {
        let [start, end, unwind_table, record] = self.0.each_ref().map(|word| word.load(Ordering::Relaxed));
        Found { start, end, unwind_table, record }
    }

    fn store(&self, found: Found) {
        let words = [found.start, found.end, found.unwind_table, found.record];
        for (word, value) in self.0.iter().zip(words) {
            word.store(value, Ordering::Relaxed);
        }
    }
}

/// Arrays are never freed: who looks may still read one that was replaced. Each has twice the room of the one before.
#[derive(Default)]
struct Array {
    len: AtomicUsize,
    entries: Box<[Entry]>,
}

impl Array {
    fn with_room(room: usize) -> Array {
        Array { len: AtomicUsize::new(0), entries: std::iter::repeat_with(Entry::default).take(room).collect() }
    }

    fn live(&self) -> &[Entry] {
        &self.entries[..self.len.load(Ordering::Relaxed).min(self.entries.len())]
    }

    fn find(&self, address: usize) -> Option<Found> {
        let live = self.live();
        let after = live.partition_point(|entry| entry.0[0].load(Ordering::Relaxed) <= address);
        let found = live[after.checked_sub(1)?].load();
        (address < found.end).then_some(found)
    }
}

/// The arrays; the version's lowest bit is the index of the one that holds.
struct Table {
    version: AtomicUsize,
    arrays: [AtomicPtr<Array>; 2],
    writer: Mutex<()>,
}

static TABLE: Table = Table {
    version: AtomicUsize::new(0),
    arrays: [const { AtomicPtr::new(std::ptr::null_mut()) }; 2],
    writer: Mutex::new(()),
};

impl Table {
    fn array(&self, version: usize) -> Option<&'static Array> {
        // SAFETY: null or an array that is never freed.
        unsafe { self.arrays[version & 1].load(Ordering::Acquire).as_ref() }
    }

    fn find(&self, address: usize) -> Option<Found> {
        loop {
            let version = self.version.load(Ordering::Acquire);
            let found = self.array(version).and_then(|array| array.find(address));
            fence(Ordering::Acquire);
            if self.version.load(Ordering::Relaxed) == version {
                return found;
            }
        }
    }

    /// Replaces what the table has, by a change of a copy.
    fn change(&self, change: impl FnOnce(&mut Vec<Found>)) {
        let _guard = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.version.load(Ordering::Relaxed);
        let mut all: Vec<Found> = self.all(version);
        change(&mut all);
        let next = version.wrapping_add(1);
        // Who still reads the array that is written now sees that the version has changed.
        fence(Ordering::Release);
        let array = match self.array(next) {
            Some(array) if array.entries.len() >= all.len() => array,
            _ => {
                let array = Box::leak(Box::new(Array::with_room(all.len().next_power_of_two().max(64))));
                self.arrays[next & 1].store(array, Ordering::Release);
                array
            }
        };
        array.len.store(all.len(), Ordering::Relaxed);
        for (entry, found) in array.entries.iter().zip(all) {
            entry.store(found);
        }
        self.version.store(next, Ordering::Release);
    }

    fn all(&self, version: usize) -> Vec<Found> {
        self.array(version).map_or(Vec::new(), |array| array.live().iter().map(Entry::load).collect())
    }
}

/// An image's place in the table. Removed when dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    _record: Arc<Record>,
    start: usize,
}

impl Registration {
    pub(crate) fn new(range: Range<usize>, unwind_table: usize, record: Arc<Record>) -> Registration {
        let found = Found { start: range.start, end: range.end, unwind_table, record: Arc::as_ptr(&record) as usize };
        TABLE.change(|all| all.insert(all.partition_point(|other| other.start < found.start), found));
        Registration { _record: record, start: range.start }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        TABLE.change(|all| all.retain(|found| found.start != self.start));
    }
}

/// The image that has an address. Takes no lock, allocates nothing, and may be called in a signal handler.
pub(crate) fn find(address: usize) -> Option<Found> {
    TABLE.find(address)
}

/// All images. Holds the lock briefly.
pub(crate) fn records() -> Vec<Arc<Record>> {
    let _guard = TABLE.writer.lock().unwrap_or_else(PoisonError::into_inner);
    let all = TABLE.all(TABLE.version.load(Ordering::Relaxed));
    all.into_iter().map(|found| shared(found.record)).collect()
}

/// The image that has an address, kept alive. Holds the lock briefly.
pub(crate) fn find_record(address: usize) -> Option<Arc<Record>> {
    find(address)?;
    let _guard = TABLE.writer.lock().unwrap_or_else(PoisonError::into_inner);
    find(address).map(|found| shared(found.record))
}

fn shared(record: usize) -> Arc<Record> {
    let record = record as *const Record;
    // SAFETY: what is in the table has a registration, which holds the record; nothing leaves the table while the lock is held.
    unsafe {
        Arc::increment_strong_count(record);
        Arc::from_raw(record)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    /// Entries whose words fit each other, so that a torn one is seen.
    fn entry(number: usize) -> Found {
        let start = number * 0x1000;
        Found { start, end: start + 0x800, unwind_table: start + 1, record: start + 2 }
    }

    #[test]
    fn who_looks_sees_whole_entries_while_others_change_the_table() {
        let table = Table {
            version: AtomicUsize::new(0),
            arrays: [const { AtomicPtr::new(std::ptr::null_mut()) }; 2],
            writer: Mutex::new(()),
        };
        table.change(|all| all.extend((1..500).step_by(2).map(entry)));
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for first in [2, 4] {
                let (table, ended) = (&table, &ended);
                scope.spawn(move || {
                    for _ in 0..60 {
                        let added: Vec<Found> = (first..500).step_by(40).map(entry).collect();
                        for found in &added {
                            table.change(|all| all.insert(all.partition_point(|o| o.start < found.start), *found));
                        }
                        for found in added {
                            table.change(|all| all.retain(|other| other.start != found.start));
                        }
                    }
                    ended.store(true, Ordering::Relaxed);
                });
            }
            while !ended.load(Ordering::Relaxed) {
                for number in 1..500 {
                    let found = table.find(number * 0x1000 + 0x7ff);
                    assert!(found.is_none_or(|found| found == entry(number)));
                    assert!(number % 2 == 0 || found.is_some());
                    assert_eq!(table.find(number * 0x1000 + 0x800), None);
                }
            }
        });
        assert_eq!(table.all(table.version.load(Ordering::Relaxed)).len(), 250);
    }
}
