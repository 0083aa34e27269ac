//! The end of a heap that is still referred to. In a process of its own: no other heap may take the range.

#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "each calls a heap, or reads and writes a block of one, from one thread at a time"
)]

use std::thread;

use dynvm_heap::{Corruption, Error, Heap, free};

/// Blocks are freed while their heap ends: either the heap takes them, or the answer is that it has ended.
#[test]
fn a_heap_ends_while_another_thread_frees() {
    for _ in 0..200 {
        let heap = Heap::new(None).unwrap();
        let blocks: Vec<usize> =
            (0..100).map(|at| unsafe { heap.malloc(16 << (at % 8)).unwrap().as_ptr() as usize }).collect();
        thread::scope(|scope| {
            scope.spawn(|| {
                for block in &blocks {
                    match unsafe { free(*block as *mut u8) } {
                        Ok(()) => {}
                        Err(Error::Corrupt(corrupt)) => assert!(matches!(corrupt.what, Corruption::Ended)),
                        Err(error) => panic!("{error}"),
                    }
                }
            });
            drop(heap);
        });
        let next = Heap::new(None).unwrap();
        let zeros = unsafe { std::slice::from_raw_parts(next.calloc(1, 50_000).unwrap().as_ptr(), 50_000) };
        assert!(zeros.iter().all(|byte| *byte == 0));
    }
}
