//! Limits, and what memory a heap takes and gives back. One test at a time: they measure the process.

#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "each calls a heap, or reads and writes a block of one, from one thread at a time"
)]

use std::sync::{Mutex, MutexGuard, PoisonError};

use dynvm_heap::{Corruption, Error, Heap};

static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kibibytes of a line of a file of the process.
fn kib(file: &str, line: &str) -> usize {
    let text = std::fs::read_to_string(format!("/proc/self/{file}")).unwrap();
    let value = text.lines().find_map(|at| at.strip_prefix(line)).unwrap();
    value.trim().trim_end_matches(" kB").parse().unwrap()
}

fn resident() -> usize {
    kib("smaps_rollup", "Anonymous:")
}

fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

#[test]
fn the_limit_is_kept_to_the_page() {
    let _alone = alone();
    for (size, at_most) in [(16, 0), (48, 3), (4096, 0), (100_000, 25)] {
        let heap = Heap::new(Some(1 << 20)).unwrap();
        let mut count = 0;
        let error = loop {
            match unsafe { heap.malloc(size) } {
                Ok(_) => count += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error, Error::Limit);
        assert!(heap.used() <= 1 << 20);
        // But for what is lost where blocks do not divide a page.
        assert!(count * size >= (1 << 20) * (100 - at_most) / 100 - 100_000 / 25, "{count} blocks of {size} bytes");
    }
}

#[test]
fn what_is_freed_can_be_allocated_again_in_another_size() {
    let _alone = alone();
    let heap = Heap::new(Some(1 << 20)).unwrap();
    for size in [16, 64, 500, 2000, 8000, 50_000, 1 << 20] {
        let blocks: Vec<_> = std::iter::from_fn(|| unsafe { heap.malloc(size).ok() }).collect();
        assert!(blocks.len() * size > 900_000, "{} blocks of {size}", blocks.len());
        blocks.into_iter().for_each(|block| unsafe { heap.free(block.as_ptr()).unwrap() });
    }
}

#[test]
fn sizes_beyond_everything_are_refused() {
    let _alone = alone();
    let (limited, other) = (Heap::new(Some(1 << 20)).unwrap(), Heap::new(None).unwrap());
    for size in [64 << 30, isize::MAX as usize, usize::MAX - 4096, usize::MAX] {
        unsafe {
            let block = other.malloc(100_000).unwrap().as_ptr();
            for result in
                [other.malloc(size), other.calloc(size, 16), other.memalign(1 << 20, size), other.realloc(block, size)]
            {
                assert_eq!(result, Err(Error::NoMemory));
            }
            other.free(block).unwrap();
            assert_eq!(limited.malloc(size), Err(Error::Limit));
        }
    }
    assert_eq!(other.used(), 0);
    assert_eq!(unsafe { other.memalign(1 << 40, 1) }, Err(Error::NoMemory));
}

/// 16 MiB each of six sizes, and all is freed between: what one size had serves the next, or goes back.
#[test]
fn free_memory_is_returned() {
    let _alone = alone();
    const PHASE: usize = 16 << 20;
    let heap = Heap::new(None).unwrap();
    let (before, mut most) = (resident(), 0);
    let mut blocks = Vec::with_capacity(PHASE / 32);
    for size in [32, 80, 320, 3000, 20_000, 100_000] {
        for _ in 0..PHASE / size {
            let block = unsafe { heap.malloc(size).unwrap().as_ptr() };
            unsafe { block.write_bytes(1, size) }
            blocks.push(block);
        }
        most = most.max(resident().saturating_sub(before));
        blocks.drain(..).for_each(|block| unsafe { heap.free(block).unwrap() });
    }
    drop(blocks);
    assert!(most < 28 << 10, "{most} KiB at most");
    let kept = resident().saturating_sub(before);
    assert!(kept < 6 << 10, "{kept} KiB kept");
    unsafe { heap.trim().unwrap() }
    let kept = resident().saturating_sub(before);
    assert!(kept < 1 << 10, "{kept} KiB kept by an idle heap");
    assert_eq!(heap.used(), 0);
}

#[test]
fn large_blocks_of_zeros_take_no_memory() {
    let _alone = alone();
    let heap = Heap::new(None).unwrap();
    let before = resident();
    let block = unsafe { heap.calloc(1 << 20, 64).unwrap().as_ptr() };
    assert_eq!(unsafe { block.add(63 << 20).read() }, 0);
    let taken = resident().saturating_sub(before);
    // Of a range that a heap of another test has had, the first MiB is cleared: something may have been written there after its end.
    assert!(taken < 1280, "{taken} KiB");
}

#[test]
fn a_small_heap_takes_little() {
    let _alone = alone();
    const HEAPS: usize = 200;
    let heaps = |count: usize| -> Vec<Heap> {
        let new = |_| {
            let heap = Heap::new(Some(8 << 20)).unwrap();
            for size in [40, 100, 100, 300] {
                unsafe { heap.malloc(size).unwrap().write(1) }
            }
            heap
        };
        (0..count).map(new).collect()
    };
    // So that the first of all is not counted.
    let first = heaps(1);
    let (memory, tables, maps) = (resident(), kib("status", "VmPTE:"), mappings());
    let heaps = heaps(HEAPS);
    let each = (resident() - memory) as f64 / HEAPS as f64;
    let tables = kib("status", "VmPTE:").saturating_sub(tables) as f64 / HEAPS as f64;
    let maps = (mappings() - maps) as f64 / HEAPS as f64;
    println!("a heap: {each:.1} KiB, {tables:.1} KiB of page tables, {maps:.1} mappings");
    // Three classes have a page each, and the table of units one.
    assert!(each < 17.0, "{each} KiB");
    assert!(tables < 6.0, "{tables} KiB of page tables");
    assert!(maps < 2.5, "{maps} mappings");
    drop((first, heaps));
}

#[test]
fn heaps_come_and_go_without_growth() {
    let _alone = alone();
    let mut at_start = (0, 0);
    for round in 0..10_000 {
        let heap = Heap::new(None).unwrap();
        for size in [1, 20, 500, 9000, 200_000] {
            let block = unsafe { heap.malloc(size).unwrap().as_ptr() };
            unsafe { block.write_bytes(1, size) }
        }
        if round == 100 {
            at_start = (resident(), mappings());
        }
    }
    assert!(resident() <= at_start.0 + 128 && mappings() <= at_start.1 + 2);
}

#[test]
fn many_heaps_at_once_leave_little_behind() {
    let _alone = alone();
    const HEAPS: usize = 2000;
    let use_one = |limit| {
        let heap = Heap::new(limit).unwrap();
        let block = unsafe { heap.malloc(20_000).unwrap().as_ptr() };
        unsafe { block.write_bytes(1, 20_000) }
        heap
    };
    let before = resident();
    for _ in 0..3 {
        let heaps: Vec<_> = (0..HEAPS).map(|at| use_one((at % 2 == 0).then_some(1 << 20))).collect();
        assert!(resident() - before > HEAPS * 20);
        drop(heaps);
        // A page of the table, of each.
        assert!(resident().saturating_sub(before) < HEAPS * 5);
    }
}

/// The memory of a heap is not seen by the next one in its range, in whatever way it is cleared.
#[test]
fn a_heap_starts_without_what_others_wrote() {
    let _alone = alone();
    for sizes in [[48, 100, 9000], [100_000, 20_000, 5000], [3 << 20, 1 << 20, 30]] {
        let heap = Heap::new(None).unwrap();
        let addresses = sizes.map(|size| {
            let block = unsafe { heap.malloc(size).unwrap().as_ptr() };
            unsafe { block.write_bytes(0xee, size) }
            block
        });
        drop(heap);
        let next = (0..5000).map(|_| Heap::new(None).unwrap()).find(|next| next.contains(addresses[0]));
        let next = next.expect("the range is used again");
        for (size, address) in sizes.into_iter().zip(addresses) {
            let block = unsafe { next.malloc(size).unwrap().as_ptr() };
            assert_eq!(block, address);
            let bytes = unsafe { std::slice::from_raw_parts(block, size) };
            assert!(bytes.iter().all(|byte| *byte == 0), "{size} bytes are seen");
        }
    }
}

/// A plugin that frees too late, after its VM was replaced, does not free what the new one has.
#[test]
fn a_range_is_not_used_again_at_once() {
    let _alone = alone();
    let heap = Heap::new(None).unwrap();
    let block = unsafe { heap.malloc(48).unwrap().as_ptr() };
    drop(heap);
    let next = Heap::new(None).unwrap();
    assert!(!next.contains(block));
    let Err(Error::Corrupt(corrupt)) = (unsafe { next.free(block) }) else { panic!("not noticed") };
    assert_eq!(corrupt.what, Corruption::Ended);
}

/// What a defective plugin wrote where it had no block does not make `calloc`'s memory other than zero.
#[test]
fn stray_writes_do_not_reach_the_next_heap_as_zeros() {
    let _alone = alone();
    let heap = Heap::new(None).unwrap();
    let block = unsafe { heap.malloc(48).unwrap().as_ptr() };
    let stray = block.wrapping_add(300 << 10);
    unsafe { stray.write(0xee) }
    drop(heap);
    let next = (0..5000).map(|_| Heap::new(None).unwrap()).find(|next| next.contains(block)).unwrap();
    let zeros = unsafe { std::slice::from_raw_parts(next.calloc(1, 700 << 10).unwrap().as_ptr(), 700 << 10) };
    assert!(zeros.as_ptr_range().contains(&stray.cast_const()));
    assert!(zeros.iter().all(|byte| *byte == 0));
}
