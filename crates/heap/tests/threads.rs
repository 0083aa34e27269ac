//! Heaps on several threads, and in a forked child.

#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "each calls a heap, or reads and writes a block of one, from one thread at a time"
)]

mod model;

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use dynvm_heap::{Heap, Owner, free, owner};
use model::choices::{Choices, Generator};

#[test]
fn each_thread_with_heaps_of_its_own() {
    thread::scope(|scope| {
        for seed in 0..4 {
            scope.spawn(move || model::run(&mut Generator { state: 1000 + seed, left: 30_000 }));
        }
    });
}

/// The owner allocates, others free, all the time.
#[test]
fn blocks_are_freed_by_threads_that_do_not_run_the_vm() {
    let heap = Heap::new(None).unwrap();
    thread::scope(|scope| {
        let senders = [(); 3].map(|()| {
            let (sender, receiver) = mpsc::sync_channel::<(usize, usize, u8)>(64);
            scope.spawn(move || {
                for (address, size, fill) in receiver {
                    let block = address as *mut u8;
                    assert!(matches!(owner(block), Some(Owner::Heap(_))));
                    let bytes = unsafe { std::slice::from_raw_parts(block, size) };
                    assert!(bytes.iter().all(|byte| *byte == fill));
                    unsafe { free(block).unwrap() }
                }
            });
            sender
        });
        let mut choices = Generator { state: 7, left: usize::MAX };
        for round in 0..60_000 {
            let choice = choices.next().unwrap();
            let size = if choice.is_multiple_of(50) { choice as usize >> 16 } else { choice as usize >> 24 };
            let block = unsafe { heap.malloc(size).unwrap().as_ptr() };
            unsafe { block.write_bytes(round as u8, size) }
            match choice as usize % 4 {
                3 => unsafe { heap.free(block).unwrap() },
                other => senders[other].send((block as usize, size, round as u8)).unwrap(),
            }
        }
    });
    unsafe { heap.trim().unwrap() }
    assert_eq!(heap.used(), 0);
}

/// Threads that the plugin starts allocate from its heap, and free what others allocated.
#[test]
fn a_shared_heap_is_used_by_threads_at_once() {
    const THREADS: usize = 4;
    let heap = Heap::new(None).unwrap();
    unsafe { heap.share() }
    // Blocks pass from thread to thread through these.
    let places: [AtomicUsize; 64] = std::array::from_fn(|_| AtomicUsize::new(0));
    let check_and_free = |address: usize, through: bool| {
        let block = address as *mut usize;
        unsafe {
            let size = block.read();
            assert_eq!(block.add(size / 8 - 1).read(), size, "a block was changed");
            if through { heap.free(block.cast()) } else { free(block.cast()) }.unwrap();
        }
    };
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let (heap, places, start, check_and_free) = (&heap, &places, &start, &check_and_free);
            scope.spawn(move || {
                let mut choices = Generator { state: seed as u64, left: usize::MAX };
                start.wait();
                for _ in 0..250_000 {
                    let choice = choices.next().unwrap();
                    let size = (16 + choice as usize % if choice >> 28 == 0 { 40_000 } else { 700 }) / 8 * 8;
                    unsafe {
                        let mut block = heap.malloc(size).unwrap().as_ptr();
                        if choice & 1 << 20 != 0 {
                            block = heap.realloc(block, size * 2).unwrap().as_ptr();
                        }
                        block.cast::<usize>().write(size);
                        block.cast::<usize>().add(size / 8 - 1).write(size);
                        let old = places[choice as usize >> 8 & 63].swap(block as usize, Ordering::AcqRel);
                        if old != 0 {
                            check_and_free(old, choice & 1 << 21 != 0);
                        }
                    }
                }
            });
        }
    });
    places
        .iter()
        .map(|place| place.load(Ordering::Acquire))
        .filter(|address| *address != 0)
        .for_each(|address| check_and_free(address, true));
    unsafe { heap.trim().unwrap() }
    assert_eq!(heap.used(), 0);
}

#[test]
fn a_heap_moves_between_threads_and_ends_on_any() {
    let heap = Heap::new(None).unwrap();
    let block = unsafe { heap.malloc(100).unwrap().as_ptr() as usize };
    let heap = thread::spawn(move || {
        unsafe { heap.free(block as *mut u8).unwrap() }
        heap
    });
    let heap = heap.join().unwrap();
    let id = heap.id();
    thread::spawn(move || drop(heap)).join().unwrap();
    assert_ne!(owner(block as *const u8), Some(Owner::Heap(id)));
}

#[test]
fn a_leaked_heap_goes_on_and_its_range_is_not_used_again() {
    let heap = Heap::new(None).unwrap();
    let block = unsafe { heap.malloc(100).unwrap().as_ptr() };
    let heap = heap.leak();
    let others: Vec<_> = (0..100).map(|_| Heap::new(None).unwrap()).collect();
    assert!(others.iter().all(|other| !other.contains(block)));
    assert_eq!(owner(block), Some(Owner::Heap(heap.id())));
    unsafe {
        heap.malloc(10).unwrap();
        heap.free(block).unwrap();
    }
}

#[test]
fn a_forked_child_has_the_heap_for_itself() {
    let heap = Heap::new(None).unwrap();
    let block = unsafe { heap.malloc(100).unwrap().as_ptr() };
    unsafe { block.write(1) }
    let child = unsafe { libc::fork() };
    if child == 0 {
        // No panic may leave the child.
        let good = unsafe {
            block.write(2);
            let freed = heap.free(block).is_ok();
            let again = heap.malloc(100_000).is_ok() && heap.malloc(100).is_ok();
            drop(heap);
            freed && again && owner(block) == Some(Owner::Nobody)
        };
        unsafe { libc::_exit(i32::from(!good)) }
    }
    let mut status = 0;
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "status {status:#x}");
    assert_eq!(unsafe { block.read() }, 1);
    unsafe { heap.free(block).unwrap() }
}
