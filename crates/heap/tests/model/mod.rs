//! Operations on heaps, checked against a map of the blocks that are live.

pub mod choices;

use std::collections::BTreeMap;

use choices::Choices;
use dynvm_heap::{Corruption, Error, Heap, Owner, free, owner, usable_size};

/// Live blocks by address.
#[derive(Default)]
pub struct Model {
    live: BTreeMap<usize, Live>,
    /// Their addresses, in no order.
    addresses: Vec<usize>,
    serial: u8,
}

struct Live {
    heap: usize,
    size: usize,
    usable: usize,
    fill: u8,
    /// Where it is in `addresses`.
    at: usize,
}

/// The heaps of one run.
pub const LIMITS: [Option<usize>; 3] = [Some(2 << 20), None, Some(64 << 20)];

/// Runs operations until the choices end, frees all, and checks that nothing is left.
pub fn run(choices: &mut impl Choices) {
    let mut heaps = LIMITS.map(|limit| Heap::new(limit).unwrap());
    let mut model = Model::default();
    while model.step(&mut heaps, choices).is_some() {}
    for address in model.addresses.clone() {
        let heap = model.live[&address].heap;
        model.freed(address, |address| unsafe { heaps[heap].free(address) });
    }
    for heap in &heaps {
        unsafe { heap.trim().unwrap() };
        assert_eq!(heap.used(), 0);
    }
}

/// Sizes of all kinds, small ones most often.
fn size(choice: u32) -> usize {
    let random = choice as usize >> 8;
    match choice % 16 {
        0..8 => random % 200,
        // Which reads a byte in a microsecond.
        _ if cfg!(miri) => random % if choice.is_multiple_of(13) { 20_000 } else { 500 },
        8..13 => random % 2000,
        13..15 => random % 20_000,
        _ if !random.is_multiple_of(16) => random % 200_000,
        _ => random % 3_000_000,
    }
}

impl Model {
    fn step(&mut self, heaps: &mut [Heap; LIMITS.len()], choices: &mut impl Choices) -> Option<()> {
        let (operation, at, choice) = (choices.next()?, choices.next()?, choices.next()?);
        let index = at as usize % heaps.len();
        let (heap, size) = (&heaps[index], size(choice));
        match operation % 32 {
            0..8 => self.allocated(index, heap, size, 16, unsafe { heap.malloc(size) }),
            8..10 => {
                let result = unsafe { heap.calloc(size.div_ceil(8), 8) };
                if let Ok(block) = result {
                    let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), size) };
                    assert!(bytes.iter().all(|byte| *byte == 0), "calloc({size}) is not of zeros");
                }
                self.allocated(index, heap, size, 16, result);
            }
            10..12 => {
                let alignment = 1 << ((operation >> 8) % 22);
                self.allocated(index, heap, size, alignment, unsafe { heap.memalign(alignment, size) });
            }
            12..16 => {
                let Some(address) = self.choose(at) else { return Some(()) };
                let old = self.remove(address);
                match unsafe { heap.realloc(address as *mut u8, size) } {
                    Ok(block) => {
                        let kept = old.size.min(size);
                        assert!(holds(block.as_ptr(), kept, old.fill), "realloc({}, {size}) lost bytes", old.size);
                        self.allocated(index, heap, size, 16, Ok(block));
                    }
                    Err(Error::Limit | Error::NoMemory) => {
                        assert!(holds(address as *const u8, old.size, old.fill));
                        self.insert(address, old);
                    }
                    Err(error) => panic!("realloc: {error}"),
                }
            }
            16..26 => {
                let Some(address) = self.choose(at) else { return Some(()) };
                let of = self.live[&address].heap;
                self.freed(address, |address| unsafe { heaps[of].free(address) });
            }
            26 => {
                let Some(address) = self.choose(at) else { return Some(()) };
                self.freed(address, |address| unsafe { free(address) });
            }
            27 => {
                let Some(address) = self.choose(at) else { return Some(()) };
                let of = self.live[&address].heap;
                // Before the block may be given out again.
                self.freed(address, |address| unsafe { heaps[of].free(address) });
                self.refused(unsafe { heaps[of].free(address as *mut u8) });
            }
            28 => {
                let Some(address) = self.choose(at) else { return Some(()) };
                let live = &self.live[&address];
                let inside = address + 1 + choice as usize % live.usable.max(2) / 2;
                if inside < address + live.usable {
                    self.refused(unsafe { heaps[live.heap].free(inside as *mut u8) });
                }
            }
            29 => unsafe { heap.trim().unwrap() },
            30 if choice % 64 == 0 => {
                let of_heap = |address: &usize| self.live[address].heap == index;
                for address in self.addresses.iter().copied().filter(of_heap).collect::<Vec<_>>() {
                    self.remove(address);
                }
                heaps[index] = Heap::new(LIMITS[index]).unwrap();
                assert_eq!(heaps[index].used(), 0);
            }
            _ => self.check(heaps),
        }
        Some(())
    }

    fn allocated(
        &mut self,
        index: usize,
        heap: &Heap,
        size: usize,
        alignment: usize,
        result: Result<std::ptr::NonNull<u8>, Error>,
    ) {
        let block = match result {
            Ok(block) => block.as_ptr(),
            Err(Error::Limit) => return assert!(heap.used() + size.max(1 << 14) + (1 << 18) > LIMITS[index].unwrap()),
            Err(error) => panic!("{error}"),
        };
        let (address, usable) = (block as usize, usable_size(block).unwrap());
        assert!(address.is_multiple_of(alignment.max(16)) && usable >= size);
        assert_eq!(owner(block), Some(Owner::Heap(heap.id())));
        if let Some((before, live)) = self.live.range(..=address).next_back() {
            assert!(before + live.usable <= address, "blocks overlap");
        }
        if let Some((after, _)) = self.live.range(address..).next() {
            assert!(address + usable <= *after, "blocks overlap");
        }
        self.serial = self.serial.wrapping_add(1) | 1;
        let live = Live { heap: index, size, usable, fill: self.serial, at: 0 };
        unsafe { block.write_bytes(live.fill, size) }
        self.insert(address, live);
    }

    fn freed(&mut self, address: usize, free: impl FnOnce(*mut u8) -> Result<(), Error>) {
        let live = self.remove(address);
        assert!(holds(address as *const u8, live.size, live.fill), "a block of {} bytes was changed", live.size);
        free(address as *mut u8).unwrap();
    }

    fn refused(&self, result: Result<(), Error>) {
        let Err(Error::Corrupt(corrupt)) = result else { panic!("{result:?}") };
        assert!(!matches!(corrupt.what, Corruption::Ended | Corruption::Overwritten), "{corrupt}");
    }

    fn check(&self, heaps: &[Heap; LIMITS.len()]) {
        for (index, heap) in heaps.iter().enumerate() {
            let live: usize = self.live.values().filter(|live| live.heap == index).map(|live| live.usable).sum();
            assert!((live..=LIMITS[index].unwrap_or(usize::MAX)).contains(&heap.used()));
        }
    }

    fn choose(&self, choice: u32) -> Option<usize> {
        self.addresses.get(choice as usize % self.addresses.len().max(1)).copied()
    }

    fn insert(&mut self, address: usize, mut live: Live) {
        live.at = self.addresses.len();
        self.addresses.push(address);
        self.live.insert(address, live);
    }

    fn remove(&mut self, address: usize) -> Live {
        let live = self.live.remove(&address).unwrap();
        self.addresses.swap_remove(live.at);
        if let Some(moved) = self.addresses.get(live.at) {
            self.live.get_mut(moved).unwrap().at = live.at;
        }
        live
    }
}

/// Whether a block has the bytes it was filled with.
fn holds(block: *const u8, size: usize, fill: u8) -> bool {
    unsafe { std::slice::from_raw_parts(block, size) }.iter().all(|byte| *byte == fill)
}
