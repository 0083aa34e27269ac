//! A crash may leave a heap's function at any instruction; the heap is dropped then. Here a signal stops the thread, for ever.

#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "each calls a heap, or reads and writes a block of one, from one thread at a time"
)]

#[path = "model/choices.rs"]
mod choices;

use std::os::unix::thread::JoinHandleExt;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

use choices::{Choices, Generator};
use dynvm_heap::Heap;

static STOPPED: AtomicBool = AtomicBool::new(false);
static STEPS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn stop(_: i32) {
    STOPPED.store(true, SeqCst);
    loop {
        unsafe { libc::pause() };
    }
}

/// Uses a heap until it is stopped.
fn use_heap(heap: &Heap, seed: u64) {
    let mut choices = Generator { state: seed, left: usize::MAX };
    let mut blocks = [ptr::null_mut::<u8>(); 200];
    loop {
        let choice = choices.next().unwrap() as usize;
        let block = &mut blocks[choice % 200];
        let size = if (choice >> 8).is_multiple_of(20) { (choice >> 16) * 4 } else { choice >> 23 };
        unsafe {
            if block.is_null() || (choice >> 8).is_multiple_of(3) {
                *block = heap.realloc(*block, size).unwrap().as_ptr();
                block.write_bytes(0xee, size);
            } else {
                heap.free(std::mem::take(block)).unwrap();
            }
        }
        STEPS.fetch_add(1, SeqCst);
    }
}

#[test]
fn a_heap_that_was_left_in_the_middle_ends_well() {
    unsafe { libc::signal(libc::SIGUSR1, stop as *const () as usize) };
    for round in 0..60 {
        let heap = Box::new(Heap::new(None).unwrap());
        if round % 3 == 0 {
            unsafe { heap.share() }
        }
        let address = &raw const *heap as usize;
        let user = thread::Builder::new().stack_size(64 << 10);
        let user = user.spawn(move || use_heap(unsafe { &*(address as *const Heap) }, round)).unwrap();
        let steps = STEPS.load(SeqCst);
        while STEPS.load(SeqCst) < steps + 10 * round as usize {
            thread::yield_now();
        }
        assert_eq!(unsafe { libc::pthread_kill(user.as_pthread_t(), libc::SIGUSR1) }, 0);
        while !STOPPED.swap(false, SeqCst) {
            thread::yield_now();
        }
        drop(heap);
        for _ in 0..6 {
            let heap = Heap::new(None).unwrap();
            for size in [20, 100, 400, 5000, 50_000, 250_000] {
                let block = unsafe { heap.malloc(size).unwrap().as_ptr() };
                let bytes = unsafe { std::slice::from_raw_parts(block, size) };
                assert!(bytes.iter().all(|byte| *byte == 0), "memory of another heap is seen");
                unsafe { heap.free(block).unwrap() }
            }
        }
    }
}
